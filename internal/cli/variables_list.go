package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// variableList is the result of `sluice variables list`.
type variableList struct {
	document
	Environment string `json:"environment"`
	// Store is where they come from.
	Store     string           `json:"store"`
	Variables []listedVariable `json:"variables"`
}

// listedVariable is one variable of a store, never its content.
type listedVariable struct {
	// Name in the store.
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Expires is when the store will refuse it; left out where it does not.
	Expires time.Time `json:"expires,omitzero"`
	// Uses say which services take it, and how.
	Uses []variableUse `json:"uses,omitempty"`
	// Problem says why it cannot be used, Hint what to do about it.
	Problem string `json:"problem,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type variableUse struct {
	Service string `json:"service"`
	// Variable is what the service calls it.
	Variable   string                `json:"variable"`
	As         v1alpha1.VariableKind `json:"as"`
	Key        string                `json:"key"`
	OnRollback string                `json:"onRollback"`
}

func (u variableUse) String() string {
	text := fmt.Sprintf("%s as %s %s", u.Service, u.As, u.Key)
	if u.OnRollback == v1alpha1.OnRollbackCurrent {
		text += " (current on rollback)"
	}
	return text
}

func newVariablesList(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "list [SERVICE] --env ENV", Short: "List the variables of an environment, without what they contain", Args: oneArg("SERVICE", false),
		Long: describe(`List the variables that services take in an environment: name, version and expiry in the store, who takes it and how, and what is wrong
with it. The store is read, so that what is missing, disabled, expired or in clear text is found before a deployment does; then the exit code is 3.
What only the cluster is to read (as: reference) is not read: its versions are listed. No content is printed.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice variables list --env dev
  sluice variables list calculator --env prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.listVariables(cmd.Context(), first(args), env)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` whose variables to list (default: the only one)")
	inv.cluster.register(cmd)
	return cmd
}

func (inv *invocation) listVariables(ctx context.Context, service, env string) error {
	file, err := inv.project()
	if err != nil {
		return err
	}
	if service != "" {
		if service, err = serviceOf(file, service); err != nil {
			return err
		}
	}
	environment, spec, err := environmentOf(file.Project.Environments, env, file.Path)
	if err != nil {
		return err
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, file.Project.Registry, p)
	defer inv.close(b)
	store, err := b.Variables(ctx, environment, spec)
	if err != nil {
		return err
	}
	list, err := lookUp(ctx, store, uses(file, service), service == "")
	p.Stop()
	if err != nil {
		return err
	}
	doc := variableList{document: head("VariableList"), Environment: environment, Store: store.String(), Variables: list}
	if err := inv.emit(doc, doc.text); err != nil {
		return err
	}
	return doc.verdict()
}

// uses are what services take, by the name in the store.
func uses(file *config.File, only string) map[string][]variableUse {
	all := map[string][]variableUse{}
	for name, s := range file.Project.Services {
		if only != "" && only != name {
			continue
		}
		for variable, v := range s.Variables {
			stored := v.StoreName(variable)
			all[stored] = append(all[stored], variableUse{Service: name, Variable: variable, As: v.As, Key: v.Key, OnRollback: v.OnRollback})
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b variableUse) int { return strings.Compare(a.Service+" "+a.Variable, b.Service+" "+b.Variable) })
	}
	return all
}

// lookUp asks the store what it says of each variable. With unused also what nobody takes is listed, where the store can tell.
func lookUp(ctx context.Context, store variables.Store, taken map[string][]variableUse, unused bool) ([]listedVariable, error) {
	list := map[string]*listedVariable{}
	var wanted []variables.Wanted
	for name, uses := range taken {
		list[name] = &listedVariable{Name: name, Uses: uses}
		// What only the cluster is to read is not read here.
		read := slices.ContainsFunc(uses, func(u variableUse) bool { return u.As != v1alpha1.VariableReference })
		wanted = append(wanted, variables.Wanted{Name: name, Unread: !read})
	}
	answers, err := variables.Ask(ctx, store, wanted)
	if err != nil {
		return nil, err
	}
	for _, answer := range answers {
		v := list[answer.Name]
		v.Version, v.Expires = answer.Version, answer.Expires
		if answer.Err != nil {
			v.Problem, v.Hint = problemOf(answer.Err, store), fault.HintOf(answer.Err)
		}
	}
	if err := extras(store, list, unused); err != nil {
		return nil, err
	}
	sorted := make([]listedVariable, 0, len(list))
	for _, v := range list {
		sorted = append(sorted, *v)
	}
	slices.SortFunc(sorted, func(a, b listedVariable) int { return strings.Compare(a.Name, b.Name) })
	return sorted, nil
}

// extras adds what only some stores can tell: what else they hold, and what of it lies in clear text.
func extras(store variables.Store, list map[string]*listedVariable, unused bool) error {
	if s, ok := store.(interface {
		Names() (map[string]string, error)
	}); ok && unused {
		names, err := s.Names()
		if err != nil {
			return err
		}
		for name, version := range names {
			if list[name] == nil {
				list[name] = &listedVariable{Name: name, Version: version}
			}
		}
	}
	s, ok := store.(interface{ Exposed() ([]string, error) })
	if !ok {
		return nil
	}
	names, err := s.Exposed()
	if err != nil {
		return err
	}
	for _, name := range names {
		v := list[name]
		if v == nil {
			continue
		}
		if slices.ContainsFunc(v.Uses, func(u variableUse) bool { return u.As != v1alpha1.VariableValue }) {
			v.Problem, v.Hint = "lies in clear text in the file", "renew it, and correct the rules in .sops.yaml that say what is encrypted"
		}
	}
	return nil
}

// problemOf is what a store says of one variable, without what the line says already.
func problemOf(err error, store variables.Store) string {
	text := strings.TrimPrefix(err.Error(), "read variables from "+store.String()+": ")
	if rest, ok := strings.CutPrefix(text, "variable "); ok {
		_, text, _ = strings.Cut(rest, ": ")
	}
	return text
}

func (d variableList) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", d.Environment, d.Store)
	if len(d.Variables) == 0 {
		fmt.Fprintln(w, "no variable is taken from it")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tEXPIRES\tTAKEN BY\tPROBLEM")
	for _, v := range d.Variables {
		expires, users := "-", make([]string, len(v.Uses))
		if !v.Expires.IsZero() {
			expires = v.Expires.UTC().Format(time.RFC3339)
		}
		for i, u := range v.Uses {
			users[i] = u.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", v.Name, orDefault(v.Version, "-"), expires,
			orDefault(strings.Join(users, ", "), "nobody"), orDefault(strings.ReplaceAll(v.Problem, "\n", " "), "-"))
	}
	_ = table.Flush()
}

// verdict is an error where a variable cannot be used.
func (d variableList) verdict() error {
	var names, cures []string
	for _, v := range d.Variables {
		if v.Problem == "" {
			continue
		}
		names = append(names, v.Name)
		if v.Hint != "" && !slices.Contains(cures, v.Hint) {
			cures = append(cures, v.Hint)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &reportedError{fault.New(fault.Refused, "", "cannot be used in %s: %s", d.Environment, strings.Join(names, ", ")).
		WithHint("%s", strings.Join(cures, "\n"))}
}
