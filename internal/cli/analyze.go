package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/analysis"
	"github.com/sluice-dev/sluice/internal/fault"
)

// analysisDocument is the result of `sluice analyze`.
type analysisDocument struct {
	document
	File string `json:"file"`
	// Reads is the number of moments at which counters were read, until the abort if there was one.
	Reads    int              `json:"reads"`
	From     time.Time        `json:"from"`
	Settings analyzedSettings `json:"settings"`
	// LeftOut is what lay between reads that are too far from each other.
	LeftOut leftOut            `json:"leftOut"`
	Changes []decisionDocument `json:"changes"`
	Report  analysis.Report    `json:"report"`
	// courses are those of the questions, in order.
	courses []analysis.Course
	last    time.Time
}

// leftOut is what was not counted: how many times, and how long together.
type leftOut struct {
	Gaps int               `json:"gaps"`
	Time v1alpha1.Duration `json:"time"`
}

type analyzedSettings struct {
	ErrorsMax    float64 `json:"errorsMax,omitempty"`
	SlowMax      float64 `json:"slowMax,omitempty"`
	FalseAbort   float64 `json:"falseAbort"`
	Effect       float64 `json:"effect"`
	FalseAdvance float64 `json:"falseAdvance"`
	// Gap is the time between two reads from which on what was counted between them is left out.
	Gap v1alpha1.Duration `json:"gap"`
}

// decisionDocument is a moment at which the decision or its word became another.
type decisionDocument struct {
	At       time.Time         `json:"at"`
	Decision analysis.Decision `json:"decision"`
	Verdict  analysis.Verdict  `json:"verdict,omitempty"`
	Sentence string            `json:"sentence"`
}

// mostChanges is how many changes of the decision are listed; the report is of the end in any case.
const mostChanges = 100

// share is a flag that is a part of all, such as 1%.
type share v1alpha1.Share

// String is the flag's value; empty for none.
func (s *share) String() string { return v1alpha1.Share(*s).String() }

// Set reads it as sluice.yaml does.
func (s *share) Set(text string) error {
	v, err := v1alpha1.ParseShare(text)
	*s = share(v)
	return err
}

// Type names the value in the help.
func (s *share) Type() string { return "share" }

func newAnalyze(inv *invocation) *cobra.Command {
	file := ""
	settings := analyzeFlags{falseAbort: 0.001, effect: 0.01, falseAdvance: 0.05}
	cmd := &cobra.Command{
		Use: "analyze --replay FILE", Short: "Decide again over recorded counters", GroupID: groupLook, Args: noArgs,
		Long: describe(`Let the analysis decide over recorded counters, to try its settings on your own history. Nothing is asked and nothing changed.

FILE is CSV whose first line names the columns, or one JSON object in each line, sorted by time; - is the standard input:

  time,slot,requests,failed,slow
  2026-01-31T12:00:00Z,live,100000,480,900
  2026-01-31T12:00:00Z,candidate,0,0,0
  2026-01-31T12:00:01Z,live,100160,481,901

time is RFC 3339, or seconds since 1970. slot is live or candidate; a slot that is not there at a moment had no series then. requests,
failed and slow are counters that only grow, as a source gives them; they may start again. Columns that may be left out:

  slow   requests that took too long; --slow-max asks about them
  alone  true in a line of the candidate: from here on it has all traffic, and is held against what live has been
  since  when the source began to count, as time; with another one than before its counters are not compared with earlier ones, but are new
         since then, if that was not before the moment above nor as long ago as --gap

What was counted between two moments that are as far apart as --gap is left out, because the world may have been another one, and the result
says how much that is. The default suits the recording: 30 s, and more where its moments usually lie further apart.

A line tells each change of the decision. A candidate that would be aborted ends with exit code 3.`, 0, 1, 2, 3),
		Example: `  sluice analyze --replay counters.csv
  sluice analyze --replay counters.jsonl --errors-max 1% --false-abort 0.1% -o json`,
		RunE: inv.enter(func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("gap") && settings.gap <= 0 {
				return fault.New(fault.Usage, "", "--gap is %s; it must be more than 0", settings.gap).WithHint("leave it out to have it suit the recording")
			}
			if file == "" {
				return fault.New(fault.Usage, "", "there is nothing to analyze").WithHint("name recorded counters with --replay FILE")
			}
			return inv.analyze(file, settings)
		}),
	}
	cmd.Flags().StringVar(&file, "replay", "", "`file` with recorded counters; - for the standard input")
	cmd.Flags().DurationVar(&settings.gap, "gap", 0, "`time` between two reads from which on what was counted between them is left out (default: 30s, or "+
		"four times the median distance of the reads if that is more)")
	cmd.Flags().Lookup("gap").DefValue = "" // it is what the recording says
	for _, f := range []struct {
		to          *share
		name, usage string
	}{
		{&settings.errorsMax, "errors-max", "`share` of failed requests that is allowed in any case (default: no limit)"},
		{&settings.slowMax, "slow-max", "`share` of slow requests that is allowed in any case (default: they are not asked about)"},
		{&settings.falseAbort, "false-abort", "`chance` that a candidate which is no worse is aborted"},
		{&settings.effect, "effect", "smallest `difference` of the shares that is worth acting on"},
		{&settings.falseAdvance, "false-advance", "`chance` that a candidate which is worse by that goes on before its time"},
	} {
		cmd.Flags().Var(f.to, f.name, f.usage)
	}
	return cmd
}

type analyzeFlags struct {
	errorsMax, slowMax, falseAbort, effect, falseAdvance share
	// gap is 0 for one that suits the recording.
	gap time.Duration
}

// begin makes the analysis; slow requests are asked about where there is a limit.
func (f analyzeFlags) begin() (*analysis.Analysis, error) {
	ask := []analysis.Question{{Name: "errors", Bad: analysis.Failed, Max: float64(f.errorsMax)}}
	if f.slowMax > 0 {
		ask = append(ask, analysis.Question{Name: "slowness", Bad: analysis.Slow, Max: float64(f.slowMax)})
	}
	return analysis.New(analysis.Settings{Questions: ask,
		FalseAbort: float64(f.falseAbort), Effect: float64(f.effect), FalseAdvance: float64(f.falseAdvance), Gap: f.gap})
}

func (inv *invocation) analyze(path string, flags analyzeFlags) error {
	in := inv.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fault.New(fault.Usage, "replay", "%w", err)
		}
		defer f.Close()
		in = f
	}
	var reads []analysis.Read
	if err := replay(in, func(r analysis.Read) { reads = append(reads, r) }); err != nil {
		return fault.New(fault.Usage, "replay "+path, "%w", err).WithHint("`sluice analyze --help` shows the format")
	}
	if flags.gap == 0 {
		flags.gap = usualGap(reads)
	}
	doc := analysisDocument{document: head("Analysis"), File: path, Changes: []decisionDocument{}, Settings: analyzedSettings{
		ErrorsMax: float64(flags.errorsMax), SlowMax: float64(flags.slowMax), Gap: v1alpha1.Duration(flags.gap),
		FalseAbort: float64(flags.falseAbort), Effect: float64(flags.effect), FalseAdvance: float64(flags.falseAdvance)}}
	a, err := flags.begin()
	if err != nil {
		return err
	}
	doc.courses = make([]analysis.Course, len(a.Report().Answers))
	for _, r := range reads {
		doc.look(a, r)
	}
	doc.Report = a.Report()
	if err := inv.emit(doc, doc.text); err != nil || doc.Report.Decision != analysis.Abort {
		return err
	}
	return &reportedError{fault.New(fault.Refused, "analyze", "the candidate would have been aborted, see above")}
}

// look takes in a read, and notes what it changes.
func (d *analysisDocument) look(a *analysis.Analysis, r analysis.Read) {
	if d.Reads == 0 {
		d.From = r.At
	}
	if last := len(d.Changes) - 1; last >= 0 && d.Changes[last].Decision == analysis.Abort {
		return
	}
	if apart := r.At.Sub(d.last); d.Reads > 0 && apart >= d.Settings.Gap.D() {
		d.LeftOut.Gaps++
		d.LeftOut.Time += v1alpha1.Duration(apart)
	}
	d.Reads++
	d.last = r.At
	before := a.Report()
	a.Look(r)
	report := a.Report()
	for i := range d.courses {
		d.courses[i].Follow(report.At, before.Answers[i], report.Answers[i])
	}
	last := len(d.Changes) - 1
	if last >= 0 && (d.Changes[last].Verdict == report.Verdict && d.Changes[last].Decision == report.Decision || last >= mostChanges && report.Decision != analysis.Abort) {
		return
	}
	d.Changes = append(d.Changes, decisionDocument{report.At, report.Decision, report.Verdict, report.Sentence})
}

func (d analysisDocument) text(w io.Writer) {
	for _, c := range d.Changes {
		fmt.Fprintf(w, "%9s  %-8s %-15s %s\n", c.At.Sub(d.From).Round(time.Millisecond), c.Decision, c.Verdict, c.Sentence)
	}
	fmt.Fprintf(w, "\nafter %s:\n", amount(d.Reads, "read"))
	if d.LeftOut.Gaps > 0 {
		fmt.Fprintf(w, "  left out is what was counted in %s of %s or more, %s in all (--gap)\n", amount(d.LeftOut.Gaps, "gap"), d.Settings.Gap.D(), d.LeftOut.Time.D())
	}
	for i, a := range d.Report.Answers {
		fmt.Fprintf(w, "  %s (95 %% at every look)\n    %s; evidence %.3g of %.3g\n", a.Line(), a.Sentence, a.Evidence, a.Needed)
		for _, line := range d.courses[i].Lines(100) {
			fmt.Fprintln(w, "    "+line)
		}
	}
}
