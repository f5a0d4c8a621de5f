package buildkit

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// maxDockerfile bounds what is read of a Dockerfile, in bytes.
const maxDockerfile = 1 << 20

// sources are the folders that a build reads.
type sources struct {
	// context and folder are absolute, links resolved; name is the Dockerfile's in folder.
	context, folder, name string
	// builtin says that BuildKit's own frontend reads the Dockerfile, whatever its `# syntax=` line names.
	builtin bool
}

// findSources finds Dockerfile and context, which must lie inside the project, links followed.
func findSources(op string, req build.Request) (sources, error) {
	root, err := filepath.Abs(req.Dir)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return sources{}, fault.Wrap(fault.Usage, op, err)
	}
	file, err := inside(op, root, req.Image.Dockerfile, "Dockerfile", fs.FileMode.IsRegular)
	if err != nil {
		return sources{}, err
	}
	context, err := inside(op, root, req.Image.BuildContext(), "context", fs.FileMode.IsDir)
	if err != nil {
		return sources{}, err
	}
	s := sources{context: context, folder: filepath.Dir(file), name: filepath.Base(file)}
	s.builtin, err = readsBuiltin(file)
	return s, fault.Wrap(fault.Usage, op, err)
}

// inside resolves a path of the project, and refuses one that leads out of it or to something else than wanted.
func inside(op, root, name, what string, wanted func(fs.FileMode) bool) (string, error) {
	full := filepath.Join(root, filepath.FromSlash(name))
	resolved, err := filepath.EvalSymlinks(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fault.New(fault.Usage, op, "there is no %s %s in %s", what, name, root)
	case err != nil:
		return "", fault.Wrap(fault.Usage, op, err)
	}
	if relative, err := filepath.Rel(root, resolved); err != nil || !filepath.IsLocal(relative) {
		return "", fault.New(fault.Usage, op, "the %s %s lies outside %s", what, name, root).
			WithHint("move it beside sluice.yaml: a release is built from its project, and only from it")
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", fault.Wrap(fault.Usage, op, err)
	}
	if !wanted(info.Mode()) {
		return "", fault.New(fault.Usage, op, "%s is no %s", name, map[string]string{"Dockerfile": "file", "context": "folder"}[what])
	}
	return resolved, nil
}

// readsBuiltin says whether the frontend that a Dockerfile asks for is BuildKit's own. The stable releases of docker/dockerfile are the
// same code as the one that is built in; fetching them from Docker Hub for every build would make a network necessary for nothing.
func readsBuiltin(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	if err != nil {
		return false, err
	}
	if len(text) > maxDockerfile {
		return false, errors.New("the Dockerfile is larger than 1 MiB")
	}
	reference, _, _, ok := parser.DetectSyntax(text)
	if !ok {
		return true, nil
	}
	return regexp.MustCompile(`^((docker\.io|registry-1\.docker\.io|index\.docker\.io)/)?docker/dockerfile(:1[.0-9]*|:latest)?$`).MatchString(reference), nil
}

// mounts are the folders as BuildKit reads them. Modes are those that a fresh checkout has everywhere: Git keeps of a mode whether a file
// can be run. Times are those of the commit and up to a second more.
func (s sources) mounts(op string, epoch time.Time) (map[string]fsutil.FS, error) {
	mounts := map[string]fsutil.FS{}
	for name, folder := range map[string]string{"context": s.context, "dockerfile": s.folder} {
		plain, err := fsutil.NewFS(folder)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
		mounts[name], err = fsutil.NewFilterFS(plain, &fsutil.FilterOpt{Map: func(path string, stat *types.Stat) fsutil.MapResult {
			if first, _, _ := strings.Cut(filepath.ToSlash(path), "/"); first == build.StateFolder {
				return fsutil.MapResultSkipDir
			}
			stat.ModTime = moment(epoch, stat.ModTime)
			stat.Mode = checkedOut(stat.Mode)
			stat.Xattrs = nil
			return fsutil.MapResultKeep
		}})
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
	}
	return mounts, nil
}

// moment is the time that a file is given. The exporter sets everything after the commit back to it, so that the image holds one time;
// BuildKit takes a file of the same size and time as before for unchanged, so until then it must differ wherever the real time does.
func moment(epoch time.Time, real int64) int64 {
	hash := fnv.New64a()
	_ = binary.Write(hash, binary.LittleEndian, real)
	return epoch.UnixNano() + 1 + int64(hash.Sum64()%uint64(time.Second-1))
}

func checkedOut(mode uint32) uint32 {
	switch m := fs.FileMode(mode); {
	case m.IsDir():
		return uint32(fs.ModeDir | 0o755)
	case m.IsRegular() && m&0o111 != 0:
		return 0o755
	case m.IsRegular():
		return 0o644
	default:
		return mode
	}
}
