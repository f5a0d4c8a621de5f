// Package testreport reads the result files of tests, JUnit XML and TRX, and sums them up; it must not run tests nor judge them.
package testreport

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what is read: results come from code that is being tested, and that may do anything.
const (
	maxFiles    = 2000
	maxFile     = 64 << 20
	maxFailures = 20
	maxMessage  = 600
)

// Report sums result files up.
type Report struct {
	// Files that held results, and the test cases in them. Failed includes cases that broke off with an error.
	Files, Passed, Failed, Skipped int
	// Failures are the first failed cases, at most 20.
	Failures []Failure
}

// Failure is one failed test case.
type Failure struct {
	// Name is class and case, as far as the file says them.
	Name string
	// Message is the beginning of why, "" where the file does not say.
	Message string
}

// Cases counts all test cases.
func (r Report) Cases() int { return r.Passed + r.Failed + r.Skipped }

// String says it in words: "41 passed, 1 failed".
func (r Report) String() string {
	text := fmt.Sprintf("%d passed", r.Passed)
	if r.Failed > 0 {
		text += fmt.Sprintf(", %d failed", r.Failed)
	}
	if r.Skipped > 0 {
		text += fmt.Sprintf(", %d skipped", r.Skipped)
	}
	return text
}

func (r *Report) add(other Report) {
	r.Files += other.Files
	r.Passed += other.Passed
	r.Failed += other.Failed
	r.Skipped += other.Skipped
	r.Failures = append(r.Failures, other.Failures...)
	r.Failures = r.Failures[:min(len(r.Failures), maxFailures)]
}

func (r *Report) fail(name, message string) {
	r.Failed++
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{Name: name, Message: shorten(message)})
	}
}

// errForeign says that a file is XML, but no result of tests.
var errForeign = errors.New("it holds no test results")

// Read sums up every result file below a folder: *.trx, and those *.xml that are JUnit's. Other files are passed over; a result file
// that breaks off is an error, and so is a folder of more than 2000 such files or a file of more than 64 MiB. Links are not followed.
func Read(dir string) (Report, error) {
	var report Report
	seen := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if extension := strings.ToLower(filepath.Ext(path)); extension != ".xml" && extension != ".trx" {
			return nil
		}
		if seen++; seen > maxFiles {
			return fmt.Errorf("there are more than %d result files", maxFiles)
		}
		one, err := readFile(path)
		if errors.Is(err, errForeign) {
			return nil
		}
		if err != nil {
			relative, _ := filepath.Rel(dir, path)
			return fmt.Errorf("%s: %w", relative, err)
		}
		report.add(one)
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("read test results: %w", err)
	}
	return report, nil
}

func readFile(path string) (Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer file.Close()
	return Parse(file)
}

// shorten cuts a message after its first lines.
func shorten(message string) string {
	message = strings.TrimSpace(message)
	if len(message) <= maxMessage {
		return strings.ToValidUTF8(message, "")
	}
	message = message[:maxMessage]
	// The beginning of a word whose rest is cut off may be half a secret, which would not be known for one.
	message = message[:max(strings.LastIndexAny(message, " \t\n"), 0)]
	return strings.ToValidUTF8(message, "") + " …"
}

// bounded fails where more is read than a result file may hold.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
