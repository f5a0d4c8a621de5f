package doctor

import (
	"fmt"
	"strings"
	"time"
)

// soon is how long before its end the end of something is worth a warning.
const soon = 7 * 24 * time.Hour

// registries explains whether releases can be fetched and kept.
func registries(f Facts) Section {
	s := Section{Name: "registry"}
	for _, r := range f.Repositories {
		as := "as nobody: no credentials are known for it"
		if r.Account != "" {
			as = "as " + r.Account
		}
		read := good("may be read")
		if r.Read != nil {
			read = failed("cannot be read", r.Read)
		}
		read.Code, read.Title = "registry.read", r.Name+": "+read.Title
		s.Findings = append(s.Findings, read.seen(as, r.For))

		write := good("may be written")
		switch {
		case r.Write != nil && r.Read != nil:
			write = skipped("not looked at, for it cannot be read")
		case r.Write != nil:
			write = failed("may not be written", r.Write)
			if !r.Writes {
				write.Severity = Warning
				write = write.seen("a deployment only reads it; `sluice build` needs the right")
			}
		}
		write.Code, write.Title = "registry.write", r.Name+": "+write.Title
		s.Findings = append(s.Findings, write)
	}
	return s
}

// analysis explains whether a new version can be judged.
func analysis(f Facts) Section {
	s := Section{Name: "analysis"}
	for _, source := range f.Cluster.Sources {
		read := good("can be counted")
		switch {
		case source.Err != nil:
			read = failed("cannot be counted", source.Err)
		case source.Nothing != "":
			read = good("the source answers, and has counted none of it yet").seen(source.Nothing)
		}
		read.Code, read.Title = "analysis.source", source.Name+": "+read.Title
		s.Findings = append(s.Findings, read)
	}
	return s
}

// store explains whether the variables of the services are there.
func store(f Facts) Section {
	s := Section{Name: "variables"}
	w := way{}
	w.need("variables.store", f.Store.Name, func() Finding {
		switch {
		case f.Store.Blocked:
			return skipped("not looked at, for it is in the cluster, which was not reached")
		case f.Store.Err != nil:
			return failed("cannot be asked", f.Store.Err)
		}
		return good("can be asked")
	})
	if !f.Store.Blocked {
		for _, v := range f.Store.Variables {
			w.check("variables.variable", v.Name, func() Finding { return variable(v, f.Now) })
		}
	}
	s.Findings = w.findings
	return s
}

func variable(v Variable, now time.Time) Finding {
	users := "taken by " + strings.Join(v.Users, ", ")
	if v.Err != nil {
		return failed("cannot be used", v.Err).seen(users)
	}
	f := good("version %s", v.Version).seen(users)
	if !v.Expires.IsZero() && v.Expires.Before(now.Add(soon)) {
		f.Severity = Warning
		f.Title += fmt.Sprintf(", which the store refuses from %s on", v.Expires.UTC().Format(time.RFC3339))
		f = f.next("renew it in the store before then")
	}
	return f
}
