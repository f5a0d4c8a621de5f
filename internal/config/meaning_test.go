package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/config"
)

const noLabel = "is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit"

func TestProblemsOfServices(t *testing.T) {
	long := strings.Repeat("a", 47)
	for _, c := range []change{
		{"another version", "sluice.dev/v1alpha1", "sluice.dev/v1", []string{`1:13: apiVersion: must be sluice.dev/v1alpha1, not "sluice.dev/v1"`}},
		{"another kind", "kind: Project", "kind: Release", []string{`2:7: kind: must be Project, not "Release"`}},
		{"a name with a space", "name: calculator", "name: my calculator", []string{`3:7: name: "my calculator" ` + noLabel}},
		{"a registry with a tag", "${REGISTRY}/calculator", "localhost:5000/calculator:1", []string{
			`4:11: registry: "localhost:5000/calculator:1" is no OCI repository prefix; write it as host[:port]/path, for example localhost:5000/calculator`}},
		{"a registry with credentials", "${REGISTRY}/calculator", "me:secret@host/calculator", []string{
			"4:11: registry: has an @, which no registry has; write it as host[:port]/path, for example localhost:5000/calculator; credentials come from `docker login` and the like"}},
		{"a registry with a slash at its end", "${REGISTRY}/calculator", "host/calculator/", []string{
			`4:11: registry: "host/calculator/" is no OCI repository prefix; write it as host[:port]/path, for example localhost:5000/calculator`}},
		{"a registry with an underscore", "${REGISTRY}/calculator", "host.example/my_team/calc--v1", nil},
		{"the longest service", "  calculator:\n", "  " + long[1:] + ":\n", nil},
		{"a service that is too long", "  calculator:\n", "  " + long + ":\n", []string{
			"6:3: services." + long + ": the service's name is 47 characters long; at most 46 leave room for the Helm releases " + long + "-green and -shared"}},
		{"a service that begins with a digit", "  calculator:\n", "  1st:\n", []string{"6:3: services.1st: the service's name begins with a digit, which no Kubernetes Service may"}},
		{"a service in capitals", "  calculator:\n", "  Calculator:\n", []string{"6:3: services.Calculator: the service's name " + noLabel}},
		{"a service called like a slot of another", "environments:\n", "  calculator-green: {chart: chart}\nenvironments:\n", []string{
			"11:3: services.calculator-green: the service calculator uses the name calculator-green for one of its Helm releases or Services; rename one of the two"}},
		{"no services", small[strings.Index(small, "services:"):strings.Index(small, "environments:")], "services: {}\n", []string{"5:11: services: needs at least one service"}},
		{"a chart that does not exist", "chart: chart", "chart: charts", []string{`9:12: services.calculator.chart: there is no folder "charts" in the folder of sluice.yaml`}},
		{"a chart that is a file", "chart: chart", "chart: values-dev.yaml", []string{`9:12: services.calculator.chart: "values-dev.yaml" is no folder`}},
		{"a chart without a Chart.yaml", "chart: chart", "chart: empty", []string{`9:12: services.calculator.chart: the folder "empty" holds no Chart.yaml`}},
		{"an absolute chart", "chart: chart", "chart: /chart", []string{`9:12: services.calculator.chart: "/chart" is no path relative to the folder of sluice.yaml`}},
		{"sources that do not exist", "ko: ./frontend", "ko: ./front", []string{`8:22: services.calculator.images.frontend.ko: there is no folder "./front" in the folder of sluice.yaml`}},
		{"a platform that is none", "{ko: ./frontend}", "{ko: ./frontend, platforms: [linux/amd64, windows/amd64]}", []string{
			`8:59: services.calculator.images.frontend.platforms[1]: "windows/amd64" is no platform such as linux/amd64 or linux/arm64`}},
		{"a base that is a URL", "{ko: ./frontend}", "{ko: ./frontend, base: https://host/base}", []string{
			`8:40: services.calculator.images.frontend.base: "https://host/base" is no image reference; write it as host/path:tag or host/path@sha256:…`}},
		{"an image in capitals", "frontend: {ko", "Frontend: {ko", []string{
			"8:7: services.calculator.images.Frontend: the image's name is part of a repository: lower-case letters and digits, with . _ or - between them",
			"8:7: services.calculator.images.Frontend: nothing says where the chart's values take this image, so it would be built and never run; add it to services.calculator.imageValues",
			`10:19: services.calculator.imageValues.frontend: there is no image "frontend"; did you mean "Frontend"?`}},
		{"an image without a place", "    imageValues: {frontend: images.frontend}\n", "", []string{
			"8:7: services.calculator.images.frontend: nothing says where the chart's values take this image, so it would be built and never run; add it to services.calculator.imageValues"}},
		{"a place without an image", "{frontend: images.frontend}", "{frontend: images.frontend, fronted: images.b}", []string{
			`10:46: services.calculator.imageValues.fronted: there is no image "fronted"; did you mean "frontend"?`}},
		{"a place that is no path", "{frontend: images.frontend}", "{frontend: images..frontend}", []string{
			`10:29: services.calculator.imageValues.frontend: "images..frontend" is no path in a chart's values such as images.frontend`}},
		{"a place for two images", "{frontend: images.frontend}", "{frontend: images.frontend, other: images.frontend}", []string{
			`10:46: services.calculator.imageValues.other: there is no image "other"; known: frontend`,
			"10:53: services.calculator.imageValues.other: images.frontend is the place of the image frontend too"}},
		{"slot values", "    chart: chart\n", "    chart: chart\n    slotValues: {fullnameOverride: '{{.Service}}-{{.Slot}}'}\n", nil},
		{"slot values with an unknown name", "    chart: chart\n", "    chart: chart\n    slotValues: {fullnameOverride: '{{.Slots}}'}\n", []string{
			`10:36: services.calculator.slotValues.fullnameOverride: the template does not work: value:1:2: executing "value" at <.Slots>: map has no entry for key "Slots"; known: {{.Service}}, {{.Slot}}`}},
		{"a template that does not end", "    chart: chart\n", "    chart: chart\n    slotValues: {name: '{{.Slot'}\n", []string{
			`10:24: services.calculator.slotValues.name: the template does not work: value:1: unclosed action; known: {{.Service}}, {{.Slot}}`}},
		{"a shared object", "    chart: chart\n", "    chart: chart\n    shared: [PersistentVolumeClaim/data]\n", nil},
		{"a shared object without a kind", "    chart: chart\n", "    chart: chart\n    shared: [data]\n", []string{
			`10:14: services.calculator.shared[0]: "data" is no Kind/name such as PersistentVolumeClaim/data`}},
		{"a volume per slot", "    chart: chart\n", "    chart: chart\n    perSlot: [PersistentVolumeClaim/cache]\n", nil},
		{"a volume per slot without a kind", "    chart: chart\n", "    chart: chart\n    perSlot: [cache]\n", []string{
			`10:15: services.calculator.perSlot[0]: "cache" is no Kind/name such as PersistentVolumeClaim/cache`}},
		{"something else per slot", "    chart: chart\n", "    chart: chart\n    perSlot: [Secret/cache]\n", []string{
			`10:15: services.calculator.perSlot[0]: "Secret/cache" is no PersistentVolumeClaim; remove it: other objects are in each slot unless they are under shared`}},
		{"a volume both shared and per slot", "    chart: chart\n", "    chart: chart\n    shared: [PersistentVolumeClaim/a]\n    perSlot: [PersistentVolumeClaim/a]\n", []string{
			"11:15: services.calculator.perSlot[0]: PersistentVolumeClaim/a is listed under shared too; remove one of the two"}},
	} {
		c.run(t)
	}
}

func TestProblemsOfEnvironments(t *testing.T) {
	both := small[strings.Index(small, "    cluster: {context"):]
	for _, c := range []change{
		{"an environment in capitals", "  prod:\n", "  Prod:\n", []string{"21:3: environments.Prod: the environment's name " + noLabel}},
		{"after an unknown one", "after: [dev]", "after: [dev, stage]", []string{`22:18: environments.prod.after[1]: there is no environment "stage"; known: dev`}},
		{"after the same twice", "after: [dev]", "after: [dev, dev]", []string{"22:18: environments.prod.after[1]: names dev twice; remove it"}},
		{"after itself", "after: [dev]", "after: [prod]", []string{"22:5: environments.prod.after: the path of a release is a cycle: prod after prod; remove one of these links"}},
		{"a cycle", "  dev:\n", "  dev:\n    after: [prod]\n", []string{
			"13:5: environments.dev.after: the path of a release is a cycle: dev after prod after dev; remove one of these links"}},
		{"one namespace for two", "calculator-prod", "calculator-dev", []string{
			"24:16: environments.prod.namespace: is the namespace of dev too, in the same cluster; give each environment its own namespace"}},
		{"an environment's registry", "    namespace: calculator-prod", "    registry: registry.example.com/prod\n    namespace: calculator-prod", nil},
		{"an environment's registry with a scheme", "    namespace: calculator-prod", "    registry: https://registry.example.com/prod\n    namespace: calculator-prod", []string{
			`24:15: environments.prod.registry: "https://registry.example.com/prod" has a scheme; write it as host[:port]/path, for example localhost:5000/calculator`}},
		{"an environment's registry that is empty", "    namespace: calculator-prod", "    registry: \"\"\n    namespace: calculator-prod", []string{
			`24:15: environments.prod.registry: "" is no OCI repository prefix; write it as host[:port]/path, for example localhost:5000/calculator`}},
		{"one namespace in two clusters", "{context: sluice-local}\n    namespace: calculator-prod", "{context: other}\n    namespace: calculator-dev", nil},
		{"one namespace, one cluster by two contexts", both, strings.NewReplacer("sluice-local", "a, identity: https://api", "calculator-prod", "calculator-dev").Replace(
			strings.Replace(both, "sluice-local", "b, identity: https://api", 1)), []string{
			"24:16: environments.prod.namespace: is the namespace of dev too, in the same cluster; give each environment its own namespace"}},
		{"one namespace, two clusters by one context", both, strings.NewReplacer("sluice-local", "a, identity: https://api", "calculator-prod", "calculator-dev").Replace(
			strings.Replace(both, "sluice-local", "a, identity: https://other", 1)), nil},
		{"a namespace that is no label", "calculator-prod", "calculator_prod", []string{`24:16: environments.prod.namespace: "calculator_prod" ` + noLabel}},
		{"a namespace that is too long", "calculator-prod", strings.Repeat("a", 64), []string{
			`24:16: environments.prod.namespace: "` + strings.Repeat("a", 64) + `" is 64 characters long; at most 63 are allowed`}},
		{"an empty namespace", "calculator-prod", `""`, []string{`24:16: environments.prod.namespace: "" ` + noLabel}},
		{"a cluster without a context", "cluster: {context: sluice-local}", `cluster: {context: ""}`, []string{
			"13:24: environments.dev.cluster.context: is empty; `kubectl config get-contexts` lists them"}},
		{"a cluster that is not inside", "cluster: {context: sluice-local}", "cluster: {inCluster: false}", []string{
			"13:26: environments.dev.cluster.inCluster: can only be true; name the context instead"}},
		{"a kubeconfig inside", "cluster: {context: sluice-local}", "cluster: {inCluster: true, kubeconfig: a}", []string{
			"13:44: environments.dev.cluster.kubeconfig: means nothing together with inCluster; remove one of the two"}},
		{"a cluster in Azure", "{context: sluice-local}", aks("production"), nil},
		{"a cluster in Azure without its group", "{context: sluice-local}", "{aks: {subscription: 11111111-2222-3333-4444-555555555555, name: a}}", []string{
			"13:15: environments.dev.cluster.aks.resourceGroup: is missing"}},
		{"clusters in Azure and in a context", "{context: sluice-local}", strings.Replace(aks("a"), "{aks", "{context: a, aks", 1), []string{
			"13:27: environments.dev.cluster: has context and aks, and needs exactly one of them; remove all but one"}},
		{"a kubeconfig for Azure", "{context: sluice-local}", strings.Replace(aks("a"), "{aks", "{kubeconfig: a, aks", 1), []string{
			"13:27: environments.dev.cluster.kubeconfig: means nothing together with aks, which needs none; remove one of the two"}},
		{"names that Azure does not allow", "{context: sluice-local}", "{aks: {subscription: production, resourceGroup: a/b, name: a.b, runCommand: sometimes}}", []string{
			"13:35: environments.dev.cluster.aks.subscription: \"production\" is no id of an Azure subscription; `az account show --query id` prints it",
			"13:62: environments.dev.cluster.aks.resourceGroup: \"a/b\" is no name of a resource group; `az aks list -o table` prints it",
			"13:73: environments.dev.cluster.aks.name: \"a.b\" is no name of an AKS cluster; `az aks list -o table` prints it",
			"13:90: environments.dev.cluster.aks.runCommand: \"sometimes\" is no time at which the run-command API can be used; known: never, fallback, always"}},
		{"one namespace in one cluster in Azure", both, strings.NewReplacer("{context: sluice-local}", aks("A"), "calculator-prod", "calculator-dev").Replace(
			strings.Replace(both, "{context: sluice-local}", aks("a"), 1)), []string{
			"24:16: environments.prod.namespace: is the namespace of dev too, in the same cluster; give each environment its own namespace"}},
		{"one namespace in two clusters in Azure", both, strings.NewReplacer("{context: sluice-local}", aks("b"), "calculator-prod", "calculator-dev").Replace(
			strings.Replace(both, "{context: sluice-local}", aks("a"), 1)), nil},
		{"an identity that is a UID", "{context: sluice-local}", "{context: a, identity: 0f8fad5b-d9cb-469f-a165-70867728950e}", nil},
		{"an identity that is neither", "{context: sluice-local}", "{context: a, identity: production}", []string{
			`13:37: environments.dev.cluster.identity: "production" is no absolute URL such as https://calculator.example.com`}},
		{"values that do not exist", "[values-dev.yaml]", "[values-dev.yaml, values-stage.yaml]", []string{
			`15:31: environments.dev.values[1]: there is no file "values-stage.yaml" in the folder of sluice.yaml`}},
		{"values twice", "[values-dev.yaml]", "[values-dev.yaml, values-dev.yaml]", []string{`15:31: environments.dev.values[1]: names "values-dev.yaml" twice; remove it`}},
		{"values that are a folder", "[values-dev.yaml]", "[chart]", []string{`15:14: environments.dev.values[0]: "chart" is no file`}},
		{"values elsewhere", "[values-dev.yaml]", "[../values.yaml]", []string{
			`15:14: environments.dev.values[0]: "../values.yaml" lies outside of the folder of sluice.yaml; move it there: it travels with the release`}},
		{"an entry without a scheme", "http://dev.calculator.localhost:8080", "dev.calculator.localhost:8080", []string{
			`16:12: environments.dev.entry: "dev.calculator.localhost:8080" is no absolute URL such as https://calculator.example.com`}},
		{"an entry with credentials", "http://dev.calculator", "http://me:secret@dev.calculator", []string{
			"16:12: environments.dev.entry: holds credentials, which do not belong into a file; remove them"}},
		{"an entry with a query", "localhost:8080", "localhost:8080/?a=b", []string{
			`16:12: environments.dev.entry: "http://dev.calculator.localhost:8080/?a=b" has a query or fragment, which would get lost`}},
		{"no time at all", "    after: [dev]\n", "    after: [dev]\n    timeout: 0s\n", []string{"23:14: environments.prod.timeout: must be more than 0"}},
		{"no environments", small[strings.Index(small, "environments:"):], "environments: {}\n", []string{"11:15: environments: needs at least one environment"}},
	} {
		c.run(t)
	}
}

func TestProblemsOfStrategies(t *testing.T) {
	const steps = "[{weight: 0}, {weight: 20, hold: 10s}, {weight: 100}]"
	const at = "environments.prod.strategy.canary"
	for _, c := range []change{
		{"weights that do not ascend", steps, "[{weight: 0}, {weight: 50}, {weight: 50}, {weight: 20}, {weight: 100}]", []string{
			"28:53: " + at + ".steps[2].weight: 50 is not more than the 50 of the step before; weights ascend from step to step",
			"28:67: " + at + ".steps[3].weight: 20 is not more than the 50 of the step before; weights ascend from step to step"}},
		{"a weight over 100", steps, "[{weight: 0}, {weight: 120}]", []string{"28:39: " + at + ".steps[1].weight: 120 is no percentage between 0 and 100"}},
		{"a weight below 0", steps, "[{weight: -1}, {weight: 100}]", []string{"28:26: " + at + ".steps[0].weight: -1 is no percentage between 0 and 100"}},
		{"a last step below 100", steps, "[{weight: 0}, {weight: 50}]", []string{"28:39: " + at + ".steps[1].weight: the last step must have weight 100, not 50; add {weight: 100}"}},
		{"a first step with traffic", steps, "[{weight: 5}, {weight: 100}]", []string{
			"28:26: " + at + ".steps[0].weight: the first step must have weight 0, not 5; put {weight: 0} before it: there the gates see the new version before any user does"}},
		{"a step without a weight", steps, "[{weight: 0}, {hold: 5s}, {weight: 100}]", []string{"28:30: " + at + ".steps[1].weight: is missing"}},
		{"no steps", steps, "[]", []string{"28:16: " + at + ".steps: needs steps; end them with {weight: 100}"}},
		{"weights that the router does not know", "traffic: {gateway: {}}", "traffic: {service: {}}", []string{
			"28:39: " + at + ".steps[1].weight: the router service knows the weights 0 and 100 only; use blueGreen, or the router gateway or nginx"}},
		{"a header that the router does not know", strategy, "        traffic: {none: {}}\n        header: {name: a, value: b}\n        steps: [{weight: 0}, {weight: 100}]\n", []string{
			"28:9: " + at + ".header: the router none knows no header; remove it, or choose gateway or nginx"}},
		{"a header without a value", "        steps:", "        header: {name: canary}\n        steps:", []string{"28:9: " + at + ".header: needs both a name and a value"}},
		{"a header that is none", "        steps:", "        header: {name: can ary, value: always}\n        steps:", []string{
			`28:24: ` + at + `.header.name: "can ary" is no name of an HTTP header`}},
		{"a header of two lines", "        steps:", "        header: {name: canary, value: \"a\\nb\"}\n        steps:", []string{
			`28:39: ` + at + `.header.value: a header's value is a single line`}},
		{"a gate of a step called like one of the environment", "    strategy: {direct: {}}\n", "    strategy: {canary: {traffic: {nginx: {}}, steps: [{weight: 0}, {weight: 100, gates: [{helmTest: {}}]}]}}\n", []string{
			"17:90: environments.dev.strategy.canary.steps[1].gates[0]: another gate asked at the same time is called \"helmTest\" too; give it a name of its own by `name:`"}},
	} {
		c.run(t)
	}
}

func TestProblemsOfGates(t *testing.T) {
	const at = "environments.dev.gates[0].http"
	for _, c := range []change{
		{"no entry", "    entry: http://dev.calculator.localhost:8080\n", "", []string{
			"18:22: " + at + ".path: the environment has no entry to which the path could be joined; add `entry:` to the environment, or give the gate a `url:`"}},
		{"a gate with a URL needs no entry", small[strings.Index(small, "    entry:"):strings.Index(small, "      - helmTest")],
			"    strategy: {direct: {}}\n    gates:\n      - http: {url: http://a/}\n", nil},
		{"a gate that reaches the Service needs no entry", small[strings.Index(small, "    entry:"):strings.Index(small, "      - helmTest")],
			"    strategy: {blueGreen: {traffic: {service: {}}}}\n    gates:\n      - http: {path: /}\n", nil},
		{"path and URL", gate, "http: {path: /, url: http://a/}", []string{"19:25: " + at + ": has path and url, and needs exactly one of them; remove all but one"}},
		{"a relative URL", gate, "http: {url: /ping}", []string{`19:21: ` + at + `.url: "/ping" is no absolute URL such as https://calculator.example.com`}},
		{"a path that is a URL", gate, "http: {path: http://a/}", []string{`19:22: ` + at + `.path: "http://a/" is no path such as /api/calculate?number=221`}},
		{"a path that is a host", gate, "http: {path: //a/}", []string{`19:22: ` + at + `.path: "//a/" is no path such as /api/calculate?number=221`}},
		{"no regular expression", gate, "http: {path: /, expect: {body: '(a'}}", []string{
			"19:40: " + at + ".expect.body: no regular expression: missing closing ): `(a`; the syntax is that of RE2"}},
		{"no status", gate, "http: {path: /, expect: {status: 99}}", []string{"19:42: " + at + ".expect.status: 99 is no HTTP status between 100 and 599"}},
		{"no attempts", gate, "http: {path: /, attempts: 0}", []string{"19:35: " + at + ".attempts: must be 1 or more, not 0"}},
		{"no time", gate, "http: {path: /, timeout: 0s}", []string{"19:34: " + at + ".timeout: must be more than 0"}},
		{"no time for the tests", "helmTest: {}", "helmTest: {timeout: 0s}", []string{"20:29: environments.dev.gates[1].helmTest.timeout: must be more than 0"}},
		{"no method", gate, "http: {path: /, method: get}", []string{`19:33: ` + at + `.method: "get" is no HTTP method such as GET or POST`}},
		{"no header", gate, "http: {path: /, headers: {'a b': c}}", []string{`19:35: ` + at + `.headers["a b"]: "a b" is no name of an HTTP header`}},
		{"no expected header", gate, "http: {path: /, expect: {headers: {'a:': c}}}", []string{`19:44: ` + at + `.expect.headers["a:"]: "a:" is no name of an HTTP header`}},
		{"two gates of one name", "- helmTest: {}", "- {name: http /api/calculate?number=221, helmTest: {}}", []string{
			"20:9: environments.dev.gates[1]: another gate asked at the same time is called \"http /api/calculate?number=221\" too; give it a name of its own by `name:`"}},
	} {
		c.run(t)
	}
}

func TestProblemsAreAValueForMachines(t *testing.T) {
	path := write(t, strings.Replace(small, "kind: Project", "knd: Project", 1))
	_, err := config.Load(path, getenv)
	want := []config.Problem{
		{File: path, Line: 1, Column: 1, Path: "kind", Message: "is missing"},
		{File: path, Line: 2, Column: 1, Path: "knd", Message: "unknown key", Hint: `did you mean "kind"?`},
	}
	if diff := cmp.Diff(want, config.ProblemsOf(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// aks is a cluster in Azure.
func aks(name string) string {
	return "{aks: {subscription: 11111111-2222-3333-4444-555555555555, resourceGroup: shop, name: " + name + "}}"
}
