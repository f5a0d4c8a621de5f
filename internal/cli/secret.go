package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/ci"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// guarded is one of the process's outputs, without the secrets.
type guarded struct {
	*variables.Writer
	stream *stream
}

// stream is the output itself; it knows whether a line has begun.
type stream struct {
	mu    sync.Mutex
	to    io.Writer
	begun bool
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) > 0 {
		s.begun = p[len(p)-1] != '\n'
	}
	return s.to.Write(p)
}

// line writes a line of its own.
func (s *stream) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		text, s.begun = "\n"+text, false
	}
	// Whoever cannot be told is not the worse for it: what is printed is masked all the same.
	_, _ = io.WriteString(s.to, text+"\n")
}

// unguarded is what is behind a guard; anything else is itself.
func unguarded(w any) any {
	if g, ok := w.(*guarded); ok {
		return g.stream.to
	}
	return w
}

// command tells the CI system something. What was printed until then comes first.
func (inv *invocation) command(text string) {
	if g, ok := inv.Stderr.(*guarded); ok {
		_ = g.Flush()
		g.stream.line(text)
		return
	}
	inv.log("%s", text)
}

// whole is an output for a document whose secrets were taken out before. What was printed until then comes first.
func whole(w io.Writer) io.Writer {
	if g, ok := w.(*guarded); ok {
		_ = g.Flush()
		return g.stream
	}
	return w
}

// guard puts the one masker of this run before everything that is printed, and tells the CI system of what is secret. The returned
// function prints what still waits.
func (inv *invocation) guard() (end func()) {
	inv.secrets = &variables.Masker{}
	if inv.Environ != nil {
		inv.secrets.Add(secretsIn(inv.Environ())...)
	}
	out, err := &stream{to: inv.Stdout}, &stream{to: inv.Stderr}
	system := ci.Detect(inv.LookupEnv)
	printed, told := io.Writer(out), io.Writer(err)
	if system != "" {
		printed, told = &disarmed{to: out}, &disarmed{to: err}
	}
	stdout, stderr := &guarded{inv.secrets.Writer(printed), out}, &guarded{inv.secrets.Writer(told), err}
	inv.Stdout, inv.Stderr = stdout, stderr
	if system != "" && inv.CIReads != nil && inv.CIReads() {
		inv.secrets.Each(func(value string) {
			for _, command := range system.Mask(value) {
				err.line(command)
			}
		})
	}
	stop := func() {}
	if inv.Redirect != nil {
		stop = inv.Redirect(stderr)
	}
	return func() {
		stop()
		// Nobody is left to be told that nothing can be printed.
		_, _ = stdout.Close(), stderr.Close()
	}
}

// execute runs the command. A panic becomes an error like any other, so that what it says is masked as well.
func (inv *invocation) execute(ctx context.Context, root *cobra.Command) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			inv.entered = true
			fmt.Fprintf(inv.Stderr, "%s\n", debug.Stack())
			err = fault.New(fault.Internal, "", "panic: %v", cause).WithHint("this is a fault of sluice itself: report it with the lines above")
		}
	}()
	return root.ExecuteContext(ctx)
}

// redirect is Process.Redirect of the real process: credential helpers, plugins and libraries that write to standard error write to us.
func redirect(to io.Writer) (stop func()) {
	read, write, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	before, done := os.Stderr, make(chan struct{})
	os.Stderr = write
	go func() {
		defer close(done)
		_, _ = io.Copy(to, read)
	}()
	return func() {
		os.Stderr = before
		_ = write.Close()
		// A program that outlives us may hold the other end open.
		_ = read.SetReadDeadline(time.Now().Add(time.Second))
		<-done
		_ = read.Close()
	}
}

// secretsIn are the values in an environment that are secret by what they are called or by what they look like. What a command is told to
// use as a secret by another name becomes known when it is read.
func secretsIn(environ []string) []string {
	var values []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case ours(name), strings.Contains(value, "PRIVATE KEY-----"), namesSecret(name) && random(value):
			values = append(values, value)
		case strings.Contains(value, "://"):
			values = append(values, passwordIn(value)...)
		}
	}
	return values
}

// ours says that a variable holds a secret of a system that Sluice works with, however short it is.
func ours(name string) bool {
	return slices.Contains([]string{
		"COSIGN_PASSWORD", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "SYSTEM_ACCESSTOKEN",
		"AZURE_CLIENT_SECRET", "AZURE_PASSWORD", "ARM_CLIENT_SECRET", "VAULT_TOKEN", "BAO_TOKEN", "SOPS_AGE_KEY", "DOCKER_AUTH_CONFIG",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN",
	}, name)
}

// namesSecret says that a variable's name calls it a secret.
func namesSecret(name string) bool {
	name = strings.ToUpper(name)
	return slices.ContainsFunc([]string{
		"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "SECRET_KEY", "CREDENTIALS",
		"CONNECTION_STRING", "CONNECTIONSTRING", "_PAT",
	}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// random says that a value is no word or path that a log may hold for other reasons.
func random(value string) bool {
	letters := !strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) })
	return len(value) >= 16 && !strings.HasPrefix(value, "/") || len(value) >= 8 && !letters && !strings.HasPrefix(value, "/")
}

// passwordIn is the password of a URL, as it is written and as it is meant.
func passwordIn(text string) []string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.User == nil {
		return nil
	}
	password, ok := u.User.Password()
	if !ok {
		return nil
	}
	_, written, _ := strings.Cut(u.User.String(), ":")
	return []string{password, written}
}
