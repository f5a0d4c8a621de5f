package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/testreport"
)

// TestsDir is where the result files of a service's image lie, below the project's folder: a CI publishes them from there.
func TestsDir(service, image string) string {
	return filepath.Join(build.StateFolder, "tests", service, image)
}

// runTests runs the tests that an image asks for; nil where it asks for none. Failing tests are fault.Refused: nothing was pushed, and
// nothing is wrong with the build.
func runTests(ctx context.Context, builder build.Builder, req build.Request, progress func(string)) (*v1alpha1.Tests, error) {
	if req.Image.TestTarget == "" {
		return nil, nil
	}
	op := "test image " + req.Name
	tester, ok := builder.(build.Tester)
	if !ok {
		return nil, fault.New(fault.Usage, op, "what builds it cannot test it").WithHint("testTarget: belongs to images with dockerfile:")
	}
	place := TestsDir(req.Service, req.Name)
	dir := within(req.Dir, filepath.ToSlash(place))
	if err := emptyFolder(req.Dir, place); err != nil {
		return nil, fault.New(fault.Usage, op, "make the folder for the results: %w", err)
	}
	progress("testing image " + req.Name + " by stage " + req.Image.TestTarget)
	ended, err := tester.Test(ctx, req, dir)
	if err != nil {
		return nil, wrap(op, err)
	}
	var report testreport.Report
	if ended.Collected {
		if report, err = testreport.Read(dir); err != nil && ended.Passed {
			return nil, fault.New(fault.Refused, op, "the tests ended well, but their results cannot be told: %w", err).WithHint("the files are in %s", dir)
		}
	}
	if err := judge(op, req, ended, report, place); err != nil {
		return nil, err
	}
	if ended.Collected {
		progress(fmt.Sprintf("tested image %s: %s; results in %s", req.Name, report, place))
	} else {
		progress(fmt.Sprintf("tested image %s: passed", req.Name))
	}
	return &v1alpha1.Tests{Passed: report.Passed, Skipped: report.Skipped}, nil
}

// keepTests names the results of an image's tests in the release; nil are none.
func keepTests(rel *v1alpha1.Release, image string, tests *v1alpha1.Tests) {
	if tests == nil {
		return
	}
	if rel.Tests == nil {
		rel.Tests = map[string]v1alpha1.Tests{}
	}
	rel.Tests[image] = *tests
}

// judge says whether tests passed. Where results were asked for, their absence is no success.
func judge(op string, req build.Request, ended build.Tested, report testreport.Report, place string) error {
	switch {
	case report.Failed > 0:
		e := fault.New(fault.Refused, op, "%d of %d tests failed\n%s", report.Failed, report.Cases(), failures(report))
		return e.WithHint("the image builds, its tests do not pass; all results are in %s", place)
	case !ended.Passed:
		e := fault.New(fault.Refused, op, "the tests of stage %s failed: %s%s", req.Image.TestTarget, ended.Reason, after(ended.Output))
		return e.WithHint("the stage was built; it is its tests that do not pass")
	case ended.Collected && report.Files == 0:
		return fault.New(fault.Refused, op, "the tests ended well, but left no result file in %s", req.Image.TestResults).
			WithHint("let them write JUnit XML or TRX files there, or take testResults: out")
	case ended.Collected && report.Passed == 0:
		return fault.New(fault.Refused, op, "no test passed: the result files name %d, of which %d were skipped", report.Cases(), report.Skipped).
			WithHint("let the stage %s run at least one", req.Image.TestTarget)
	}
	return nil
}

func after(output string) string {
	if output == "" {
		return ""
	}
	return "\n" + output
}

// failures lists the failed cases with the first lines of why.
func failures(r testreport.Report) string {
	var text strings.Builder
	for _, f := range r.Failures {
		text.WriteString("  " + f.Name)
		if f.Message != "" {
			text.WriteString(": " + strings.ReplaceAll(f.Message, "\n", "\n    "))
		}
		text.WriteString("\n")
	}
	if more := r.Failed - len(r.Failures); more > 0 {
		fmt.Fprintf(&text, "  and %d more\n", more)
	}
	return strings.TrimRight(text.String(), "\n")
}

// emptyFolder makes a folder below the project's, without what an earlier run left in it; links that lead out of the project are not
// followed. What Sluice writes beside the sources hides itself from Git: it would make the checkout look changed.
func emptyFolder(project, place string) error {
	root, err := os.OpenRoot(dirOr(project))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(place); err != nil {
		return err
	}
	if err := root.MkdirAll(place, 0o755); err != nil {
		return err
	}
	file, err := root.OpenFile(filepath.Join(build.StateFolder, ".gitignore"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString("*\n")
	return errors.Join(err, file.Close())
}
