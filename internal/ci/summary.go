package ci

import "path/filepath"

// MaxSummary is how many bytes of Markdown a step may show at the end of its job. GitHub Actions shows nothing of more, and fails the step.
const MaxSummary = 1 << 20

// Summary says how Markdown is shown to people where a job has ended.
type Summary struct {
	// Path of the file that it is appended to. "": the system has none.
	Path string
	// Command is a line of a step's output that makes the system take the file, which must be there by then and until the job ends. "":
	// the system takes it by itself.
	Command string
}

// Summary is where a step shows Markdown about a subject. The name tells the subjects of a job apart; it becomes that of a file.
func (s System) Summary(lookup func(string) (string, bool), name string) Summary {
	switch s {
	case GitHub:
		path, _ := lookup("GITHUB_STEP_SUMMARY")
		return Summary{Path: path}
	case Azure:
		dir, _ := lookup("AGENT_TEMPDIRECTORY")
		if dir == "" {
			return Summary{}
		}
		path := filepath.Join(dir, name+".md")
		return Summary{Path: path, Command: "##vso[task.uploadsummary]" + s.escape(path)}
	}
	return Summary{}
}
