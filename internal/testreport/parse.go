package testreport

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds how deep elements nest.
const maxDepth = 64

// Parse reads one result file. It fails where the file is no XML, breaks off, or holds something else than test results.
func Parse(r io.Reader) (Report, error) {
	p := &parser{tokens: xml.NewDecoder(&bounded{r: r, left: maxFile})}
	for {
		token, err := p.tokens.Token()
		switch {
		case errors.Is(err, io.EOF) && p.dialect == nil:
			return Report{}, errors.New("it is empty")
		case errors.Is(err, io.EOF):
			p.report.Files = 1
			return p.report, nil
		case err != nil:
			return Report{}, fmt.Errorf("it cannot be read to its end: %w", err)
		}
		if err := p.take(token); err != nil {
			return Report{}, err
		}
	}
}

// parser walks a file element by element, so that a large one needs no memory of its size.
type parser struct {
	tokens  *xml.Decoder
	dialect dialect
	report  Report
	path    []string
	current *testcase
	text    strings.Builder
}

// testcase is the case that is being read.
type testcase struct {
	name, outcome, message string
}

// dialect is a format of result files.
type dialect interface {
	// open is told of an element, and returns a case where one begins there.
	open(current *testcase, path []string, e xml.StartElement) *testcase
	// close is told that an element ends, with the text in it, and says whether a case ends with it.
	close(current *testcase, path []string, text string) bool
}

func (p *parser) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		if len(p.path) >= maxDepth {
			return fmt.Errorf("its elements nest deeper than %d", maxDepth)
		}
		if p.dialect == nil {
			if p.dialect = dialectOf(t.Name.Local); p.dialect == nil {
				return errForeign
			}
		}
		p.path = append(p.path, t.Name.Local)
		p.text.Reset()
		if begun := p.dialect.open(p.current, p.path, t); begun != nil {
			p.current = begun
		}
	case xml.CharData:
		// Only the messages of failures are looked at, and of those only the beginning; the rest is what tests printed.
		if p.current != nil && p.text.Len() < 4*maxMessage {
			p.text.Write(t)
		}
	case xml.EndElement:
		if p.current != nil && p.dialect.close(p.current, p.path, p.text.String()) {
			p.count(*p.current)
			p.current = nil
		}
		p.text.Reset()
		p.path = p.path[:len(p.path)-1]
	}
	return nil
}

const (
	passed  = "passed"
	failed  = "failed"
	skipped = "skipped"
)

func (p *parser) count(c testcase) {
	switch c.outcome {
	case passed:
		p.report.Passed++
	case skipped:
		p.report.Skipped++
	default:
		p.report.fail(c.name, c.message)
	}
}

func dialectOf(root string) dialect {
	switch root {
	case "testsuites", "testsuite":
		return junit{}
	case "TestRun":
		return trx{}
	default:
		return nil
	}
}

// junit is the format that nearly everything writes. Its elements bear no version; what is common to all writers is read.
type junit struct{}

func (junit) open(current *testcase, path []string, e xml.StartElement) *testcase {
	switch name := path[len(path)-1]; {
	case name == "testcase" && current == nil:
		return &testcase{name: joined(attribute(e, "classname"), attribute(e, "name")), outcome: passed}
	case current == nil || path[len(path)-2] != "testcase":
	case name == "failure", name == "error":
		current.outcome, current.message = failed, attribute(e, "message")
	case name == "skipped" && current.outcome == passed:
		current.outcome = skipped
	}
	return nil
}

func (junit) close(current *testcase, path []string, text string) bool {
	switch path[len(path)-1] {
	case "failure", "error":
		if strings.TrimSpace(current.message) == "" || current.message == "Failed" {
			// `Failed` is what Go's converters put there; the text says more.
			current.message = text
		}
	case "testcase":
		return true
	}
	return false
}

// trx is the format of .NET's test runners.
type trx struct{}

func (trx) open(current *testcase, path []string, e xml.StartElement) *testcase {
	if path[len(path)-1] != "UnitTestResult" || current != nil {
		return nil
	}
	c := &testcase{name: attribute(e, "testName")}
	switch attribute(e, "outcome") {
	case "Passed", "PassedButRunAborted", "Warning", "Completed":
		c.outcome = passed
	case "NotExecuted", "NotRunnable", "Inconclusive", "Disconnected", "Pending", "InProgress":
		c.outcome = skipped
	default:
		// Failed, Error, Timeout, Aborted, and no outcome at all, which the schema reads as Failed.
		c.outcome = failed
	}
	return c
}

func (trx) close(current *testcase, path []string, text string) bool {
	switch path[len(path)-1] {
	case "Message":
		if len(path) > 2 && path[len(path)-2] == "ErrorInfo" && current.message == "" {
			current.message = text
		}
	case "UnitTestResult":
		// Data-driven tests hold their cases as inner results; the outer one sums them up.
		return path[len(path)-2] != "InnerResults"
	}
	return false
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func joined(class, name string) string {
	if class == "" || strings.HasPrefix(name, class) {
		return name
	}
	return class + "." + name
}
