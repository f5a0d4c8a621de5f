package cli

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/promotion"
)

func newVariables(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use: "variables", Short: "Look at and write an environment's variables", GroupID: groupAuthor, Args: noArgs,
		Long: describe(`Look at the variables of an environment, which its secure store holds, and write those that a file encrypted by sops holds.

No command prints what a variable contains.`, 0, 2),
		Example: `  sluice variables init
  sluice variables set DB_PASSWORD --env dev
  sluice variables list --env dev`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVariablesInit(inv), newVariablesSet(inv), newVariablesEdit(inv), newVariablesList(inv))
	return cmd
}

// madeFile is an encrypted file that `sluice variables init` has made, or found.
type madeFile struct {
	Environment string `json:"environment"`
	File        string `json:"file"`
	// Made is false where the file was there.
	Made bool `json:"made"`
	// Recipients are the keys that a new file is encrypted for, Rules the file that names them.
	Recipients []string `json:"recipients,omitempty"`
	Rules      string   `json:"rules,omitempty"`
	// KeyFile is where a new private key was written.
	KeyFile string `json:"keyFile,omitempty"`
}

// variablesInit is the result of `sluice variables init`.
type variablesInit struct {
	document
	Files []madeFile `json:"files"`
}

func newVariablesInit(inv *invocation) *cobra.Command {
	var env string
	cmd := &cobra.Command{
		Use: "init [--env ENV]", Short: "Make the encrypted files that sluice.yaml names", Args: noArgs,
		Long: describe(`Make the file, encrypted by sops and without a variable in it, of each environment that names one ("variables: {sops: FILE}"). A file
that is there stays as it is.

For which keys a file is encrypted the creation rules of the nearest .sops.yaml say. Where there is none, your own key of age is taken: that in
$SOPS_AGE_KEY, else in the file that $SOPS_AGE_KEY_FILE names, else in sops/age/keys.txt below your configuration folder (~/.config on Linux).
Where there is no such key either, one is made and written to that file, which only you may read. Keep a copy of it: without it nobody can read
the variables.`, 0, 1, 2, 3, 8),
		Example: `  sluice variables init
  sluice variables init --env dev -o json`,
		RunE: inv.enter(func(*cobra.Command, []string) error {
			file, err := inv.loadWith(config.LoadUnmade)
			if err != nil {
				return err
			}
			return inv.makeFiles(file, env)
		}),
	}
	envFlag(cmd, inv, &env, "`environment` whose file to make (default: all)")
	return cmd
}

func (inv *invocation) makeFiles(file *config.File, only string) error {
	names := promotion.Path(file.Project.Environments, "")
	if only != "" {
		if _, _, err := environmentOf(file.Project.Environments, only, file.Path); err != nil {
			return err
		}
		names = []string{only}
	}
	doc := variablesInit{document: head("VariablesInitResult")}
	for _, name := range names {
		store := file.Project.Environments[name].Variables
		if store == nil || store.SOPS == "" {
			continue
		}
		made, err := inv.makeFile(file, name, store.SOPS)
		if err != nil {
			return err
		}
		doc.Files = append(doc.Files, made)
	}
	if len(doc.Files) == 0 {
		return fault.New(fault.Usage, "", "no environment in %s keeps its variables in a file", file.Path).
			WithHint("name one, for example `variables: {sops: env/dev.enc.yaml}` in environments.dev")
	}
	return inv.emit(doc, doc.text)
}

func (inv *invocation) makeFile(file *config.File, environment, name string) (madeFile, error) {
	made := madeFile{Environment: environment, File: name}
	encrypted, err := app.EncryptedFile(file.Dir, name, inv.Now)
	if err != nil {
		return made, err
	}
	created, err := encrypted.Create()
	if created.KeyFile != "" {
		// Whatever comes next, the key is there.
		inv.log("made a private key in %s, which only you may read (0600): keep a copy of it, and never commit it", created.KeyFile)
	}
	if fault.Is(err, fault.Conflict) {
		return made, nil
	}
	made.Made, made.Recipients, made.Rules, made.KeyFile = err == nil, created.Recipients, created.Rules, created.KeyFile
	return made, err
}

func (d variablesInit) text(w io.Writer) {
	for _, f := range d.Files {
		if !f.Made {
			fmt.Fprintf(w, "%s: %s is there already\n", f.Environment, f.File)
			continue
		}
		why := ""
		if f.Rules != "" {
			why = ", as " + filepath.Base(f.Rules) + " says"
		}
		fmt.Fprintf(w, "%s: made %s, encrypted for %s%s\n", f.Environment, f.File, strings.Join(f.Recipients, ", "), why)
	}
	fmt.Fprintln(w, "next: `sluice variables set NAME --env ENV`")
}

// variableFile loads the project and finds the encrypted file of an environment. name is the variable that is to be written, "" where it is all of them.
func (inv *invocation) variableFile(environment, name string) (*config.File, string, app.VariableFile, error) {
	file, err := inv.project()
	if err != nil {
		return nil, "", app.VariableFile{}, err
	}
	environment, env, err := environmentOf(file.Project.Environments, environment, file.Path)
	if err != nil {
		return nil, "", app.VariableFile{}, err
	}
	stored, _, err := storeName(file.Project.Services, name)
	if err != nil {
		return nil, "", app.VariableFile{}, err
	}
	if err := elsewhere(environment, stored, env.Variables); err != nil {
		return nil, "", app.VariableFile{}, err
	}
	encrypted, err := app.EncryptedFile(file.Dir, env.Variables.SOPS, inv.Now)
	return file, environment, encrypted, err
}

// elsewhere says how a store is written that is no file, nil for one that is. name is what the store calls the variable.
func elsewhere(environment, name string, s *v1alpha1.VariableStore) error {
	if name == "" {
		name = "NAME"
	}
	var store, cure string
	switch {
	case s == nil:
		return fault.New(fault.Usage, "", "nothing says which store holds the variables of %s", environment).
			WithHint("name one in environments.%s.variables, for example `{sops: env/%s.enc.yaml}`", environment, environment)
	case s.SOPS != "":
		return nil
	case s.KeyVault != "":
		vault, secret := app.KeyVaultSecret(s.KeyVault, name)
		store = "the Key Vault " + s.KeyVault
		cure = fmt.Sprintf("`az keyvault secret set --vault-name %s --name %s --file FILE`", vault, secret)
	case s.Vault != nil:
		store = "Vault at " + s.Vault.Address
		cure = vaultCure(name, *s.Vault)
	case s.Kubernetes != nil:
		store = "the Secret " + s.Kubernetes.Namespace + "/" + s.Kubernetes.Secret
		cure = fmt.Sprintf("`kubectl --namespace %s edit secret %s`", s.Kubernetes.Namespace, s.Kubernetes.Secret)
	}
	return fault.New(fault.Usage, "", "the variables of %s are in %s, which sluice reads and does not write", environment, store).
		WithHint("it is written by %s, or by what manages it", cure)
}

// vaultCure is how Vault gets a variable and keeps the others. Version 1 of its engine knows no patch, so a shared secret has no such command.
func vaultCure(name string, s v1alpha1.VaultStore) string {
	server := "-address=" + s.Address
	if s.Namespace != "" {
		server += " -namespace=" + s.Namespace
	}
	switch {
	case s.Key != "":
		return fmt.Sprintf("`vault kv put %s -mount=%s %s/%s %s=-`, which reads the value from standard input and replaces all that this secret holds",
			server, s.Mount, s.Path, name, s.Key)
	case s.Version == 1:
		return fmt.Sprintf("`vault kv put` with the whole secret %s of the engine %s: in version 1 put replaces all keys, and removes those that it is not given", s.Path, s.Mount)
	}
	return fmt.Sprintf("`vault kv patch %s -mount=%s %s %s=-`, which reads the value from standard input", server, s.Mount, s.Path, name)
}

// storeName is the name in the store of what a person calls a variable: the service's name for it, or the store's own.
func storeName(services map[string]v1alpha1.Service, name string) (stored string, taken bool, err error) {
	found := map[string]bool{}
	for _, s := range services {
		for variable, v := range s.Variables {
			switch name {
			case variable:
				found[v.StoreName(variable)] = true
			case v.StoreName(variable):
				taken = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	switch {
	case len(names) > 1:
		return "", true, fault.New(fault.Usage, "", "services call several variables %s", name).WithHint("name it as the store does: %s", strings.Join(names, ", "))
	case len(names) == 1:
		return names[0], true, nil
	}
	return name, taken, nil
}
