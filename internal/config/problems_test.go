package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// change is one edit of the small file, and all that Load says about the result.
type change struct {
	name, from, to string
	want           []string
}

func (c change) run(t *testing.T) {
	t.Run(c.name, func(t *testing.T) {
		if !strings.Contains(small, c.from) {
			t.Fatalf("the small file has no %q", c.from)
		}
		path := write(t, strings.Replace(small, c.from, c.to, 1))
		_, err := config.Load(path, getenv)
		if len(c.want) > 0 {
			compareProblems(t, path, err, c.want)
		} else if err != nil {
			t.Error(err)
		}
	})
}

const (
	anywhere = "environments:\n"
	strategy = "        traffic: {gateway: {}}\n        steps: [{weight: 0}, {weight: 20, hold: 10s}, {weight: 100}]\n"
	gate     = "http: {path: /api/calculate?number=221, expect: {json: {factors: [13, 17], who: \"${WHO}\"}}}"
)

func TestProblemsOfForm(t *testing.T) {
	for _, c := range []change{
		{"a byte order mark", "apiVersion:", "\ufeffapiVersion:", nil},
		{"Windows line ends", "kind: Project\n", "kind: Project\r\n", nil},
		{"a comment after the end", strategy, strategy + "# done\n", nil},
		{"a document start", "apiVersion:", "---\napiVersion:", nil},
		{"a second document", anywhere, "---\n" + anywhere, []string{`11:1: a second document begins here; one file holds one project: remove the ` + "`---`"}},
		{"a tab", "kind: Project", "\tkind: Project", []string{"2:1: is indented with a tab; indent with spaces"}},
		{"a tab after spaces", "    chart: chart", "  \tchart: chart", []string{`9:3: not valid YAML: found character '	' that cannot start any token`}},
		{"a duplicate key", "    chart: chart\n", "    chart: chart\n    chart: other\n",
			[]string{"10:5: services.calculator.chart: appears twice, first in line 9; remove one of them"}},
		{"a duplicate environment", "  prod:\n", "  dev:\n",
			[]string{"21:3: environments.dev: appears twice, first in line 12; remove one of them"}},
		{"a duplicate key in JSON", "factors: [13, 17]", "factors: [13, 17], factors: 1",
			[]string{"19:84: environments.dev.gates[0].http.expect.json.factors: appears twice, first in line 19; remove one of them"}},
		{"an anchor and an alias", "[values-dev.yaml]", "&v [values-dev.yaml, *v]",
			[]string{"15:13: anchors (&name) are not supported; write the value where it is used", "15:34: aliases (*name) are not supported; write the value where it is used"}},
		{"a merge key", "    namespace: calculator-prod\n", "    namespace: calculator-prod\n    <<: {timeout: 5m}\n",
			[]string{"25:5: merge keys (<<) are not supported; write the value where it is used"}},
		{"a tag", "name: calculator", "name: !!str 5", []string{"3:7: tags (!!str) are not supported; remove it"}},
		{"a directive", "apiVersion:", "%YAML 1.2\n---\napiVersion:", []string{"1:1: directives (%) are not supported; remove the line"}},
		{"a complex key", "name: calculator", "? name\n: calculator", []string{"3:1: keys introduced by ? are not supported; write `key: value`"}},
		{"an unclosed quote", "name: calculator", "name: 'calculator", []string{"3:7: not valid YAML: could not find end character of single-quoted text"}},
		{"an unclosed bracket", "[values-dev.yaml]", "[values-dev.yaml", []string{"16:5: not valid YAML: ',' or ']' must be specified"}},
		{"a control character", "name: calculator", "name: calc\x00ulator", []string{"3:11: holds the control character U+0000, which no text file has"}},
		{"bytes that are no UTF-8", "name: calculator", "name: é\xff", []string{"3:8: is not UTF-8; save it as UTF-8"}},
		{"UTF-16", small, "\xff\xfea\x00", []string{" is UTF-16; save it as UTF-8"}},
		{"an empty file", small, "", []string{"1:1: is empty; `sluice init` writes a first one"}},
		{"only comments", small, "# nothing\n", []string{"1:1: is empty; `sluice init` writes a first one"}},
		{"a list", small, "- a\n", []string{"1:1: must be keys and values, not a list"}},
		{"a text", small, "hello\n", []string{`1:1: must be keys and values, not the string "hello"`}},
		{"a file that is too large", small, small + strings.Repeat("# comment\n", 110_000), []string{" larger than 1048576 bytes, which no sluice.yaml is"}},
		{"too many keys", small, strings.Repeat("a: 1\n", 17_000), []string{"16667:4: is too long: more than 50000 keys, values and signs"}},
		{"too deep in brackets", small, "a: " + strings.Repeat("[", 500_000), []string{"1:68: is nested too deeply (more than 64 levels or 512 columns)"}},
		{"too deep in dashes", small, strings.Repeat("- ", 200), []string{"1:129: is nested too deeply (more than 64 levels or 512 columns)"}},
		{"too deep in indentation", small, indented(600), []string{"512:513: is nested too deeply (more than 64 levels or 512 columns)"}},
	} {
		c.run(t)
	}
}

func indented(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestProblemsOfType(t *testing.T) {
	for _, c := range []change{
		{"nothing", "strategy: {direct: {}}", "strategy:", []string{"17:5: environments.dev.strategy: has no value; write {} where its defaults are meant"}},
		{"a gate without a value", "helmTest: {}", "helmTest:", []string{"20:9: environments.dev.gates[1].helmTest: has no value; write {} where its defaults are meant"}},
		{"null", "chart: chart", "chart: ~", []string{"9:5: services.calculator.chart: has no value; give it one, or remove the key"}},
		{"a number as a string", "name: calculator", "name: 007", []string{`3:7: name: must be a string, not the number 007; put it in quotes: "007"`}},
		{"a truth as a string", "name: calculator", "name: true", []string{`3:7: name: must be a string, not true; put it in quotes: "true"`}},
		{"a string as a list", "[values-dev.yaml]", "values-dev.yaml", []string{`15:13: environments.dev.values: must be a list, not the string "values-dev.yaml"`}},
		{"a list as keys", "imageValues: {frontend: images.frontend}", "imageValues: [frontend]", []string{
			"8:7: services.calculator.images.frontend: nothing says where the chart's values take this image, so it would be built and never run; add it to services.calculator.imageValues",
			"10:18: services.calculator.imageValues: must be keys and values, not a list"}},
		{"a fraction", "weight: 20", "weight: 20.5", []string{"28:39: environments.prod.strategy.canary.steps[1].weight: must be a whole number, not the number 20.5"}},
		{"a number beyond all", "weight: 20", "weight: 99999999999999999999", []string{"28:39: environments.prod.strategy.canary.steps[1].weight: must be a whole number, not the string \"99999999999999999999\""}},
		{"a number beyond a machine's", "weight: 20", "weight: 18446744073709551615", []string{"28:39: environments.prod.strategy.canary.steps[1].weight: must be a whole number, not the number 18446744073709551615"}},
		{"a string as a truth", "{context: sluice-local}", `{inCluster: "true"}`,
			[]string{`13:26: environments.dev.cluster.inCluster: must be true or false, not the string "true"; write it without quotes`}},
		{"a number as a duration", "keepOld: 30m", "keepOld: 30", []string{`29:18: environments.prod.strategy.canary.keepOld: must be a string, not the number 30; put it in quotes: "30"`}},
		{"a duration without a unit", "keepOld: 30m", `keepOld: "30"`, []string{`29:18: environments.prod.strategy.canary.keepOld: "30" is no duration such as 30s or 5m`}},
		{"a negative duration", "keepOld: 30m", "keepOld: -30m", []string{`29:18: environments.prod.strategy.canary.keepOld: duration "-30m" is negative`}},
		{"a key in the wrong place", "keepOld: 30m", "timeout: 30m", []string{"29:9: environments.prod.strategy.canary.timeout: unknown key; known: header, keepOld, steps, traffic"}},
		{"a key in other case", "keepOld: 30m", "keepold: 30m", []string{`29:9: environments.prod.strategy.canary.keepold: unknown key; did you mean "keepOld"?`}},
		{"a dotted key", "keepOld: 30m", "keep.old: 30m", []string{`29:9: environments.prod.strategy.canary["keep.old"]: unknown key; did you mean "keepOld"?`}},
		{"missing keys", "    cluster: {context: sluice-local}\n    namespace: calculator-prod\n", "",
			[]string{"21:3: environments.prod.cluster: is missing", "21:3: environments.prod.namespace: is missing"}},
		{"a missing key of the file", "registry: ${REGISTRY}/calculator\n", "", []string{"1:1: registry: is missing"}},
		{"two members of a union", "{direct: {}}", "{direct: {}, blueGreen: {traffic: {nginx: {}}}}",
			[]string{"17:28: environments.dev.strategy: has direct and blueGreen, and needs exactly one of them; remove all but one"}},
		{"no member of a union", "traffic: {gateway: {}}", "traffic: {}",
			[]string{"27:9: environments.prod.strategy.canary.traffic: needs exactly one of gateway, nginx, service, none"}},
		{"a gate that asks nothing", "- helmTest: {}", "- name: nothing", []string{"20:9: environments.dev.gates[1]: needs exactly one of http, helmTest"}},
		{"an image without a builder", "{ko: ./frontend}", "{platforms: [linux/amd64]}", []string{"8:7: services.calculator.images.frontend: needs exactly one of ko, dockerfile, script"}},
		{"no cluster", "cluster: {context: sluice-local}", "cluster: {}", []string{"13:5: environments.dev.cluster: needs exactly one of context, inCluster, aks"}},
	} {
		c.run(t)
	}
}

func TestExpansion(t *testing.T) {
	for _, c := range []change{
		{"an escaped reference", "path: /api/calculate?number=221", "path: '/$${NOT}'", nil},
		{"a dollar", "path: /api/calculate?number=221", "path: /$1$", nil},
		{"a variable that is not set", "calculator-prod", "calculator-${STAGE}",
			[]string{"24:16: environments.prod.namespace: the environment variable STAGE is not set; set it where sluice runs"}},
		{"a variable that is empty", "calculator-prod", "calculator-${EMPTY}",
			[]string{"24:16: environments.prod.namespace: the environment variable EMPTY is set but empty; give it a value where sluice runs"}},
		{"two of them", "calculator-prod", "${STAGE}-${REGION}",
			[]string{"24:16: environments.prod.namespace: the environment variable STAGE is not set; set it where sluice runs",
				"24:16: environments.prod.namespace: the environment variable REGION is not set; set it where sluice runs"}},
		{"in an entry that gates use", "dev.calculator.localhost", "${STAGE}.localhost",
			[]string{"16:12: environments.dev.entry: the environment variable STAGE is not set; set it where sluice runs"}},
		{"in both clusters of one namespace", small[strings.Index(small, "    cluster: {context"):], strings.ReplaceAll(strings.ReplaceAll(
			small[strings.Index(small, "    cluster: {context"):], "sluice-local", "'${CONTEXT}'"), "calculator-prod", "calculator-dev"), []string{
			"13:24: environments.dev.cluster.context: the environment variable CONTEXT is not set; set it where sluice runs",
			"23:24: environments.prod.cluster.context: the environment variable CONTEXT is not set; set it where sluice runs"}},
		{"in JSON", "${WHO}", "${WHOM}", []string{"19:89: environments.dev.gates[0].http.expect.json.who: the environment variable WHOM is not set; set it where sluice runs"}},
		{"an unclosed reference", "calculator-prod", "calculator-${STAGE",
			[]string{`24:16: environments.prod.namespace: "${STAGE" is no reference to a variable such as ${NAME}; a literal ${ is written $${`}},
		{"a default, which is not supported", "calculator-prod", "calculator-${STAGE:-prod}",
			[]string{`24:16: environments.prod.namespace: "${STAGE:-prod}" is no reference to a variable such as ${NAME}; a literal ${ is written $${`}},
		{"in a number", "weight: 20", "weight: \"${WEIGHT}\"",
			[]string{`28:39: environments.prod.strategy.canary.steps[1].weight: must be a whole number, not the string "${WEIGHT}"; ${NAME} is expanded in strings only`}},
		{"without quotes between braces", "weight: 20", "weight: ${WEIGHT}",
			[]string{"28:40: not valid YAML: ',' or '}' must be specified; put a value with ${ into quotes where it stands between { } or [ ]"}},
		{"in a key", "  prod:\n", "  ${STAGE}:\n", []string{
			`21:3: environments["${STAGE}"]: the environment's name is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit`}},
	} {
		c.run(t)
	}
}

func TestFileThatCannotBeReadIsNotAbsent(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := config.Find(filepath.Join(dir, "file", "below"))
	if err == nil || fault.KindOf(err) == fault.NotFound {
		t.Errorf("a folder that is a file: %v", err)
	}
}
