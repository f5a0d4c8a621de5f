package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
)

// diagnosis is the result of `sluice doctor`.
type diagnosis struct {
	document
	Services     []string        `json:"services"`
	Environments []doctor.Report `json:"environments"`
	// Failed and Warnings count the findings.
	Failed   int `json:"failed"`
	Warnings int `json:"warnings"`
}

type doctorFlags struct {
	env, registry string
	connect       bool
}

func newDoctor(inv *invocation) *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use: "doctor [--connect] [SERVICE] [--env ENV]", Short: "Find out why an environment cannot be reached or deployed to", GroupID: groupLook, Args: oneArg("SERVICE", false),
		Long: describe(`Look at all that a deployment needs of an environment, and say of each thing whether it is there, what was seen, and what to do.

Who is signed in; the way to the cluster step by step (settings, credentials, name, connection, certificate, answer, login, which cluster it is,
the namespace); what the credentials may do against what a deployment does; whether the registry may be read and written; whether the store
of variables answers and has all that the services take. What fails does not hide what does not depend on it.

Nothing is written. To find out whether a registry takes a push, an upload is begun and taken back. No secret is printed. Warnings do not stop a
deployment; where a check failed the exit code is 8.`, 0, 1, 2, 8, 130),
		Example: `  sluice doctor
  sluice doctor --connect calculator --env prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.doctor(cmd.Context(), args, flags)
		}),
	}
	cmd.Flags().BoolVar(&flags.connect, "connect", true, "look at the way to environments and at what a deployment needs there; all that it can look at")
	envFlag(cmd, inv, &flags.env, "`environment` to look at (default: all)")
	registryFlag(cmd, &flags.registry)
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) doctor(ctx context.Context, named []string, flags doctorFlags) error {
	if !flags.connect {
		return fault.New(fault.Usage, "", "with --connect=false nothing is left to look at").WithHint("leave it out")
	}
	file, err := inv.project()
	if err != nil {
		return err
	}
	services, err := servicesOf(file, named)
	if err != nil {
		return err
	}
	environments := promotion.Path(file.Project.Environments, "")
	if flags.env != "" {
		if _, _, err := environmentOf(file.Project.Environments, flags.env, file.Path); err != nil {
			return err
		}
		environments = []string{flags.env}
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, orDefault(flags.registry, file.Project.Registry), p)
	defer inv.close(b)
	facts, err := b.Diagnose(ctx, app.DiagnoseRequest{File: file, Services: services, Environments: environments})
	p.Stop()
	if err != nil {
		return err
	}
	doc := diagnosis{document: head("Diagnosis"), Services: services, Environments: []doctor.Report{}}
	for _, f := range facts {
		r := doctor.Connect(f)
		doc.Environments = append(doc.Environments, r)
		doc.Failed += r.Count(doctor.Failed)
		doc.Warnings += r.Count(doctor.Warning)
	}
	if err := inv.emit(doc, func(w io.Writer) { doc.text(w, style{on: isTerminal(inv.Stdout) && inv.colourful()}) }); err != nil {
		return err
	}
	return doc.verdict()
}

// text is a tree: environments, what they need, the checks of it.
func (d diagnosis) text(w io.Writer, s style) {
	for i, r := range d.Environments {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (namespace %s)\n", s.strong(r.Environment), r.Namespace)
		for _, section := range r.Sections {
			fmt.Fprintf(w, "  %s\n", section.Name)
			for _, f := range section.Findings {
				fmt.Fprintf(w, "    %s %s\n", severity(s, f.Severity), f.Title)
				details(w, "            ", f.Evidence, f.Next)
			}
			details(w, "    ", nil, section.Next)
		}
	}
}

// details prints what was seen, and what to do. A step of several lines begins them at the margin, so that a command can be copied.
func details(w io.Writer, indent string, evidence, next []string) {
	for _, line := range evidence {
		fmt.Fprintf(w, "%s%s\n", indent, line)
	}
	for _, step := range next {
		first, rest, several := strings.Cut(step, "\n")
		fmt.Fprintf(w, "%s-> %s\n", indent, first)
		if several {
			fmt.Fprintln(w, rest)
		}
	}
}

func severity(s style, severity doctor.Severity) string {
	text := fmt.Sprintf("%-7s", severity)
	switch severity {
	case doctor.OK:
		return s.good(text)
	case doctor.Failed:
		return s.bad(text)
	case doctor.Warning:
		return s.busy(text)
	case doctor.Skipped:
	}
	return s.dim(text)
}

// verdict is an error where a check failed.
func (d diagnosis) verdict() error {
	var where []string
	for _, r := range d.Environments {
		if r.Count(doctor.Failed) > 0 {
			where = append(where, r.Environment)
		}
	}
	if len(where) == 0 {
		return nil
	}
	return &reportedError{fault.New(fault.Unreachable, "", "%s failed in %s, see above", amount(d.Failed, "check"), joined(where))}
}
