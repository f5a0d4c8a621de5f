package testreport_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/testreport"
)

const junit = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="6">
  <testsuite name="shop">
    <properties><property name="a" value="b"/></properties>
    <testcase classname="shop.Cart" name="adds" time="0.1"/>
    <testcase classname="shop.Cart" name="removes"><system-out>failure error skipped</system-out></testcase>
    <testcase classname="shop.Cart" name="breaks"><failure message="want 1, got 2">at line 7</failure></testcase>
    <testcase classname="shop.Cart" name="explodes"><error>nil pointer
at line 9</error></testcase>
    <testsuite name="inner"><testcase name="later"><skipped/></testcase></testsuite>
    <testcase classname="github.com/acme/shop" name="TestGo"><failure message="Failed" type="">money_test.go:23: want 54</failure></testcase>
  </testsuite>
</testsuites>`

const trx = "\ufeff" + `<?xml version="1.0" encoding="utf-8"?>
<TestRun id="1" xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010">
  <Results>
    <UnitTestResult testName="Shop.Tests.Adds" outcome="Passed" duration="00:00:00.01"><Output><StdOut>Message</StdOut></Output></UnitTestResult>
    <UnitTestResult testName="Shop.Tests.Breaks" outcome="Failed"><Output><StdOut>noise</StdOut><ErrorInfo><Message>Assert.Equal() Failure</Message><StackTrace>at Shop</StackTrace></ErrorInfo></Output></UnitTestResult>
    <UnitTestResult testName="Shop.Tests.Later" outcome="NotExecuted" />
    <UnitTestResult testName="Shop.Tests.Theory" outcome="Failed"><InnerResults><UnitTestResult testName="Theory(1)" outcome="Passed"/><UnitTestResult testName="Theory(2)" outcome="Failed"/></InnerResults></UnitTestResult>
    <UnitTestResult testName="Shop.Tests.Silent" />
  </Results>
  <ResultSummary outcome="Failed"><Counters total="5"/></ResultSummary>
</TestRun>`

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want testreport.Report
	}{
		"JUnit": {junit, testreport.Report{Files: 1, Passed: 2, Failed: 3, Skipped: 1, Failures: []testreport.Failure{
			{Name: "shop.Cart.breaks", Message: "want 1, got 2"},
			{Name: "shop.Cart.explodes", Message: "nil pointer\nat line 9"},
			{Name: "github.com/acme/shop.TestGo", Message: "money_test.go:23: want 54"},
		}}},
		"TRX": {trx, testreport.Report{Files: 1, Passed: 1, Failed: 3, Skipped: 1, Failures: []testreport.Failure{
			{Name: "Shop.Tests.Breaks", Message: "Assert.Equal() Failure"}, {Name: "Shop.Tests.Theory"}, {Name: "Shop.Tests.Silent"},
		}}},
		"one suite":   {`<testsuite><testcase name="a"/></testsuite>`, testreport.Report{Files: 1, Passed: 1}},
		"empty suite": {`<testsuites/>`, testreport.Report{Files: 1}},
	} {
		got, err := testreport.Parse(strings.NewReader(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, says string }{
		"nothing":         {"", "empty"},
		"no XML":          {"ok 17 tests", "empty"},
		"something else":  {"<coverage/>", "no test results"},
		"half a file":     {junit[:400], "cannot be read to its end"},
		"a bomb of depth": {strings.Repeat("<testsuite>", 100), "nest deeper"},
		"other encodings": {`<?xml version="1.0" encoding="EBCDIC"?><testsuite/>`, "cannot be read"},
	} {
		if got, err := testreport.Parse(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v; want %q", name, got, err, test.says)
		}
	}
}

func TestManyFailuresAreCountedAndAFewAreNamed(t *testing.T) {
	one := `<testcase name="x"><failure message="` + strings.Repeat("long ", 1000) + `"/></testcase>`
	got, err := testreport.Parse(strings.NewReader("<testsuite>" + strings.Repeat(one, 500) + "</testsuite>"))
	if err != nil || got.Failed != 500 || len(got.Failures) != 20 || len(got.Failures[0].Message) > 700 {
		t.Errorf("%d failed, %d named, %v", got.Failed, len(got.Failures), err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("a/junit.xml", junit)
	put("b/RESULTS.TRX", trx)
	put("coverage.xml", "<coverage/>")
	put("notes.txt", "<testsuite><testcase/></testsuite>")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.xml")); err != nil {
		t.Fatal(err)
	}
	got, err := testreport.Read(dir)
	if err != nil || got.Files != 2 || got.String() != "3 passed, 6 failed, 2 skipped" || got.Cases() != 11 {
		t.Errorf("got %+v (%s), %v", got, got, err)
	}
	put("b/broken.trx", trx[:300])
	if _, err := testreport.Read(dir); err == nil || !strings.Contains(err.Error(), "b/broken.trx") {
		t.Errorf("a file that breaks off: %v", err)
	}
	if _, err := testreport.Read(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has results")
	}
}

// FuzzParse wants no panic, and counts that are no less than nothing.
func FuzzParse(f *testing.F) {
	f.Add(junit)
	f.Add(trx)
	f.Add("<testsuite><testcase><testcase/></failure>")
	f.Add("<TestRun><UnitTestResult><InnerResults><UnitTestResult/></InnerResults>")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := testreport.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if got.Files != 1 || got.Passed < 0 || got.Failed < len(got.Failures) || got.Skipped < 0 {
			t.Errorf("got %+v", got)
		}
	})
}
