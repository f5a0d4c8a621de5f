// Command junit runs `go test` on packages and writes the results as JUnit XML: junit FILE PACKAGE...
package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// event is a line of `go test -json`.
type event struct{ Action, Package, Test, Output string }

type suite struct {
	XMLName xml.Name   `xml:"testsuite"`
	Cases   []testcase `xml:"testcase"`
}

type testcase struct {
	Class   string    `xml:"classname,attr"`
	Name    string    `xml:"name,attr"`
	Failure *failure  `xml:"failure,omitempty"`
	Skipped *struct{} `xml:"skipped,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: junit FILE PACKAGE...")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "junit:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(file string, packages []string) (code int, err error) {
	command := exec.Command("go", append([]string{"test", "-json"}, packages...)...)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, err
	}
	results := suite{}
	said := map[string]string{}
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		fmt.Print(e.Output)
		results.take(e, said)
	}
	var exit *exec.ExitError
	if err := command.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	text, err := xml.MarshalIndent(results, "", "  ")
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	return command.ProcessState.ExitCode(), os.WriteFile(file, text, 0o644)
}

func (s *suite) take(e event, said map[string]string) {
	if e.Test == "" {
		return
	}
	key := e.Package + " " + e.Test
	c := testcase{Class: e.Package, Name: e.Test}
	switch e.Action {
	case "output":
		said[key] += e.Output
		return
	case "pass":
	case "skip":
		c.Skipped = &struct{}{}
	case "fail":
		c.Failure = &failure{Message: "Failed", Text: said[key]}
	default:
		return
	}
	s.Cases = append(s.Cases, c)
}
