package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-dev/sluice/internal/fault"
)

// tailBytes is how much of a log is kept as evidence.
const tailBytes = 2048

// keptBytes is how much of a log is looked at for it.
const keptBytes = 64 << 10

// hookLogs keeps the end of what the pods of a failed hook wrote; Helm hands it over before it deletes them.
type hookLogs struct {
	hide func(string) string

	mu    sync.Mutex
	tails map[string]*tail
	order []string
}

func newHookLogs(hide func(string) string) *hookLogs {
	return &hookLogs{hide: hide, tails: map[string]*tail{}}
}

// writer is an action.Configuration's HookOutputFunc.
func (h *hookLogs) writer(_, pod, container string) io.Writer {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := "pod " + pod + ", container " + container
	if h.tails[name] == nil {
		h.tails[name] = &tail{hide: h.hide}
		h.order = append(h.order, name)
	}
	return h.tails[name]
}

// explain turns the failure of a hook into a fatal error with the hook's name and its last words.
func (h *hookLogs) explain(err error) error {
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "hook") && !strings.Contains(err.Error(), "failed pre-install") &&
		!strings.Contains(err.Error(), "failed post-install") {
		return err
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && fault.Retry(fault.Wrap(kindOf(err), "", err)) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var said strings.Builder
	for _, name := range h.order {
		if text := h.tails[name].String(); text != "" {
			fmt.Fprintf(&said, "\n%s said:\n%s", name, text)
		}
	}
	return fault.New(fault.Fatal, "chart hook", "%w%s", err, said.String()).
		WithHint("a hook of the chart failed; correct it and release again")
}

// tail is a writer that keeps the end. It keeps much more than it tells: secrets are taken out before anything is cut off, for half a
// secret would not be known for one.
type tail struct {
	// hide takes secrets out; nil: none is known.
	hide func(string) string

	mu  sync.Mutex
	buf bytes.Buffer
	cut bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if extra := t.buf.Len() - keptBytes; extra > 0 {
		t.buf.Next(extra)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.buf.String()
	if t.hide != nil {
		s = t.hide(s)
	}
	cut := t.cut
	if extra := len(s) - tailBytes; extra > 0 {
		s, cut = strings.ToValidUTF8(s[extra:], ""), true
	}
	if cut {
		if _, rest, ok := strings.Cut(s, "\n"); ok {
			s = rest
		} else {
			s = beheaded(s)
		}
	}
	return strings.TrimSpace(s)
}

// beheaded leaves out the word with which a text begins that was cut out of another one.
func beheaded(s string) string {
	if at := strings.IndexAny(s, " \t\n"); at >= 0 {
		return "…" + s[at:]
	}
	return "…"
}
