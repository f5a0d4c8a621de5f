package cli

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/build"
)

const dockerfileName = "Dockerfile"

// source is a folder from which an image can be built: one with a Dockerfile, or a Go main package.
type source struct {
	folder     string
	dockerfile bool
	// mains are the Go main packages in and below the folder of a Dockerfile, which it is taken to build.
	mains []string
}

// sourcesOf puts Dockerfiles and main packages together: a Dockerfile was written by a person, so it goes before the main packages
// that it can reach.
func sourcesOf(dockerfiles, mains []string) []source {
	var all []source
	for _, folder := range dockerfiles {
		all = append(all, source{folder: folder, dockerfile: true})
	}
	for _, main := range mains {
		owner := -1
		for i, s := range all {
			nearer := owner < 0 || len(s.folder) > len(all[owner].folder)
			if s.dockerfile && isWithin(main, s.folder) && nearer {
				owner = i
			}
		}
		if owner < 0 {
			all = append(all, source{folder: main})
			continue
		}
		all[owner].mains = append(all[owner].mains, main)
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.folder, b.folder) })
	return all
}

// isWithin says whether a folder is another or lies below it.
func isWithin(folder, other string) bool {
	return other == "." || folder == other || strings.HasPrefix(folder, other+"/")
}

// belonging returns the sources of a chart: all of them to the only one, else those in its folder, or those beside it.
func belonging(chart string, charts []string, all []source) []source {
	if len(charts) == 1 {
		return all
	}
	parent := path.Dir(chart)
	if slices.ContainsFunc(all, func(s source) bool { return isWithin(s.folder, chart) }) {
		parent = chart
	}
	return slices.DeleteFunc(slices.Clone(all), func(s source) bool {
		return !isWithin(s.folder, parent) || parent == "." && strings.Contains(s.folder, "/")
	})
}

// image is what sluice.yaml says of a source. Notes are what a person has to look at.
func (s source) image(root fs.FS) (image detectedImage, notes []string) {
	if !s.dockerfile {
		image.ko = "./" + s.folder
		if s.folder == "." {
			image.ko = "."
		}
		return image, nil
	}
	file := path.Join(s.folder, dockerfileName)
	image.dockerfile = file
	if len(s.mains) > 0 {
		image.comment = "the Dockerfile is taken to build " + joined(s.mains) + "; without it, ko: would"
	}
	text, err := fs.ReadFile(root, file)
	var stages []build.Stage
	if err == nil {
		stages, err = app.Stages(text)
	}
	if err != nil {
		return image, []string{file + " cannot be understood, so its stages are not looked at: " + oneText(err)}
	}
	last := len(stages) - 1
	for i, stage := range stages {
		switch {
		case !testStage(stage.Name):
		case i == last:
			notes = append(notes, fmt.Sprintf("the last stage of %s is %s, which would become the image: say which one is with target:", file, stage.Name))
		case !stage.Entrypoint:
			notes = append(notes, fmt.Sprintf("stage %s of %s has no ENTRYPOINT: add testTarget: %s if its RUN steps are the tests", stage.Name, file, stage.Name))
		case image.testTarget == "":
			image.testTarget = stage.Name
		default:
			notes = append(notes, fmt.Sprintf("%s has more than one test stage: %s is run, %s is not", file, image.testTarget, stage.Name))
		}
	}
	if s.folder != "." && copiesFromRoot(root, s.folder, stages) {
		image.context = "."
	}
	return image, notes
}

// testStage says whether a stage's name says that it tests.
func testStage(name string) bool {
	switch strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name)) {
	case "test", "tests", "testing", "tester", "testrunner", "unittest", "unittests", "runtests", "runtest":
		return true
	}
	return false
}

// copiesFromRoot says whether a Dockerfile copies what lies in the project's folder and not in its own, and nothing the other way round.
func copiesFromRoot(root fs.FS, folder string, stages []build.Stage) bool {
	there := func(name string) bool {
		_, err := fs.Stat(root, name)
		return err == nil
	}
	found := false
	for _, stage := range stages {
		for _, name := range stage.Copies {
			name = strings.TrimPrefix(path.Clean("/"+name), "/")
			if name == "" {
				continue
			}
			// What is in neither of the two is made before the build.
			switch own, above := there(path.Join(folder, name)), there(name); {
			case own && !above:
				return false
			case above && !own:
				found = true
			}
		}
	}
	return found
}

// oneText is an error on one line.
func oneText(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// imageName is a name for the image of a folder that no other image of the service has: the folder's, with those above it where that
// one is taken.
func imageName(folder, service string, images []detectedImage) string {
	taken := func(name string) bool {
		return name == "" || slices.ContainsFunc(images, func(other detectedImage) bool { return other.name == name })
	}
	name := service
	if folder != "." {
		parts := strings.Split(folder, "/")
		for i := len(parts) - 1; i >= 0; i-- {
			if name = label(strings.Join(parts[i:], "-")); !taken(name) {
				return name
			}
		}
	}
	first := orDefault(name, service)
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s-%d", first, n)
	}
	return name
}

// yaml is the image's entry in sluice.yaml.
func (i detectedImage) yaml() string {
	var keys []string
	add := func(key, value string) {
		if value != "" {
			keys = append(keys, key+": "+quoted(value))
		}
	}
	add("ko", i.ko)
	add("dockerfile", i.dockerfile)
	add("context", i.context)
	add("testTarget", i.testTarget)
	text := "{" + strings.Join(keys, ", ") + "}"
	if i.comment != "" {
		text += "   # " + i.comment
	}
	return text
}
