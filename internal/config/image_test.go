package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/config"
)

func TestProblemsOfImages(t *testing.T) {
	const (
		ko = "{ko: ./frontend}"
	)
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []change{
		{"a Dockerfile with everything", ko, "{dockerfile: backend/Dockerfile, context: ., target: final, args: {GO_IMAGE: golang}, bases: {'golang:1.26': 'docker.io/library/golang@" + digest +
			"'}, secrets: {token: {env: TOKEN}, ca: {file: /etc/ca.pem}}, cache: {from: ['localhost:5000/cache:main', ./.sluice/cache], to: [inline, ./.sluice/cache]}, testTarget: testrunner, testResults: /results, platforms: [linux/amd64]}", nil},
		{"a script", ko, "{script: {run: [./build.sh, fast], env: {LEVEL: '9'}}}", nil},
		{"a script that says what it reads", ko, "{script: {run: [./build.sh], inputs: [frontend, '**/*.md', '!frontend/out']}}", nil},
		{"inputs that name nothing", ko, "{script: {run: [./build.sh], inputs: ['!frontend']}}", []string{
			"8:54: services.calculator.images.frontend.script.inputs: names no file; leave the key out to have the command run every time"}},
		{"inputs that are not there", ko, "{script: {run: [./build.sh], inputs: [fronted]}}", []string{
			`8:55: services.calculator.images.frontend.script.inputs[0]: there is no file or folder "fronted" in the folder of sluice.yaml`}},
		{"inputs elsewhere", ko, "{script: {run: [./build.sh], inputs: ['../*.md']}}", []string{
			`8:55: services.calculator.images.frontend.script.inputs[0]: "../*.md" leads out of the project; name what lies in the folder of sluice.yaml or below it`}},
		{"a script in the PATH", ko, "{script: {run: [make, image]}}", nil},
		{"two builders", ko, "{ko: ./frontend, dockerfile: backend/Dockerfile}", []string{
			"8:34: services.calculator.images.frontend: has ko and dockerfile, and needs exactly one of them; remove all but one"}},
		{"a key of another builder", ko, "{ko: ./frontend, target: final}", []string{
			"8:34: services.calculator.images.frontend.target: belongs to images with dockerfile:, and this one is built by ko:; remove it"}},
		{"a base for a Dockerfile", ko, "{dockerfile: backend/Dockerfile, base: host/base:1}", []string{
			"8:50: services.calculator.images.frontend.base: belongs to images with ko:, and this one is built by dockerfile:; remove it"}},
		{"no such Dockerfile", ko, "{dockerfile: frontend/Dockerfile}", []string{
			`8:30: services.calculator.images.frontend.dockerfile: there is no file "frontend/Dockerfile" in the folder of sluice.yaml`}},
		{"a folder for a Dockerfile", ko, "{dockerfile: backend}", []string{
			`8:30: services.calculator.images.frontend.dockerfile: "backend" is no file`}},
		{"a context above", ko, "{dockerfile: backend/Dockerfile, context: ..}", []string{
			`8:59: services.calculator.images.frontend.context: ".." leads out of the folder of sluice.yaml; move it there: a release is built from its project, and only from it`}},
		{"a stage by number", ko, "{dockerfile: backend/Dockerfile, target: '2'}", []string{
			`8:58: services.calculator.images.frontend.target: "2" is no name of a stage; give the stage a name: FROM … AS name`}},
		{"results without tests", ko, "{dockerfile: backend/Dockerfile, testResults: /results}", []string{
			"8:50: services.calculator.images.frontend.testResults: there is no test stage; add testTarget: with the stage that writes them"}},
		{"results in a relative folder", ko, "{dockerfile: backend/Dockerfile, testTarget: t, testResults: results}", []string{
			`8:78: services.calculator.images.frontend.testResults: "results" is no absolute folder in the test stage such as /results`}},
		{"an argument with a space", ko, "{dockerfile: backend/Dockerfile, args: {GO IMAGE: golang}}", []string{
			`8:57: services.calculator.images.frontend.args["GO IMAGE"]: "GO IMAGE" is no name of a build argument`}},
		{"a base that is not pinned", ko, "{dockerfile: backend/Dockerfile, bases: {golang: 'golang:1.26'}}", []string{
			`8:66: services.calculator.images.frontend.bases.golang: "golang:1.26" is no reference by digest such as docker.io/library/golang@sha256:…`}},
		{"a secret by value", ko, "{dockerfile: backend/Dockerfile, secrets: {token: {env: 'hunter 2'}}}", []string{
			"8:73: services.calculator.images.frontend.secrets.token.env: is no name of an environment variable; it takes the variable's name, not its value"}},
		{"a secret from nowhere", ko, "{dockerfile: backend/Dockerfile, secrets: {token: {}}}", []string{
			"8:60: services.calculator.images.frontend.secrets.token: needs exactly one of env, file"}},
		{"a cache that is nothing", ko, "{dockerfile: backend/Dockerfile, cache: {from: [inline], to: [../cache]}}", []string{
			`8:65: services.calculator.images.frontend.cache.from[0]: "inline" is neither an image reference such as registry.example.com/cache/shop:main nor a folder such as ./.sluice/cache`,
			`8:79: services.calculator.images.frontend.cache.to[0]: "../cache" is neither an image reference such as registry.example.com/cache/shop:main nor a folder such as ./.sluice/cache`}},
		{"a cache above", ko, "{dockerfile: backend/Dockerfile, cache: {to: [./../cache]}}", []string{
			`8:63: services.calculator.images.frontend.cache.to[0]: "./../cache" is no folder below that of sluice.yaml`}},
		{"a platform twice", ko, "{ko: ./frontend, platforms: [linux/amd64, linux/amd64]}", []string{
			"8:59: services.calculator.images.frontend.platforms[1]: linux/amd64 is named twice; remove one of the two"}},
		{"a script without a command", ko, "{script: {run: []}}", []string{
			"8:32: services.calculator.images.frontend.script.run: names no command"}},
		{"a script that is not there", ko, "{script: {run: [./make.sh]}}", []string{
			`8:33: services.calculator.images.frontend.script.run[0]: there is no file "./make.sh" in the folder of sluice.yaml`}},
		{"a script above", ko, "{script: {run: [../make.sh]}}", []string{
			`8:33: services.calculator.images.frontend.script.run[0]: there is no file "../make.sh" in the folder of sluice.yaml`}},
		{"a variable of Sluice's", ko, "{script: {run: [make], env: {SLUICE_OUTPUT: /tmp}}}", []string{
			"8:46: services.calculator.images.frontend.script.env.SLUICE_OUTPUT: the names that begin with SLUICE_ are Sluice's own; name it otherwise"}},
		{"an address of BuildKit", "services:\n", "buildkit: docker\nservices:\n", nil},
		{"an address that is none", "services:\n", "buildkit: builder:1234\nservices:\n", []string{
			`5:11: buildkit: "builder:1234" is no address of a BuildKit; write it as unix:///path/to/socket, tcp://host:port, docker-container://name, or docker for Docker's own`}},
	} {
		c.run(t)
	}
}

func TestALinkOutOfTheProjectIsFound(t *testing.T) {
	path := write(t, strings.ReplaceAll(small, "{ko: ./frontend}", "{dockerfile: backend/Dockerfile, context: link}"))
	if err := os.Symlink(t.TempDir(), filepath.Join(filepath.Dir(path), "link")); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path, getenv)
	compareProblems(t, path, err, []string{
		`8:59: services.calculator.images.frontend.context: "link" leads out of the folder of sluice.yaml; move it there: a release is built from its project, and only from it`})
}
