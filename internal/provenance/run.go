package provenance

import "cmp"

// Environment is what a CI tells about a run by environment variables: who builds, in which run, and from which repository.
type Environment struct {
	Builder, Invocation, Repository string
}

// FromCI reads what GitHub Actions and Azure Pipelines tell; elsewhere the builder is LocalBuilder. The variables are only as
// trustworthy as whoever sets them: what makes them count is that the signing key is at hand in that place only.
func FromCI(lookup func(string) (string, bool)) Environment {
	get := func(name string) string { value, _ := lookup(name); return value }
	switch {
	case get("GITHUB_ACTIONS") == "true" && get("GITHUB_WORKFLOW_REF") != "":
		server := get("GITHUB_SERVER_URL")
		repository := server + "/" + get("GITHUB_REPOSITORY")
		e := Environment{Builder: server + "/" + get("GITHUB_WORKFLOW_REF"), Repository: Repository(repository)}
		if run := get("GITHUB_RUN_ID"); run != "" {
			e.Invocation = repository + "/actions/runs/" + run + "/attempts/" + cmp.Or(get("GITHUB_RUN_ATTEMPT"), "1")
		}
		return e
	case get("TF_BUILD") != "" && get("SYSTEM_COLLECTIONURI") != "":
		project := get("SYSTEM_COLLECTIONURI") + get("SYSTEM_TEAMPROJECT")
		e := Environment{Builder: project + "/_build?definitionId=" + get("SYSTEM_DEFINITIONID"), Repository: Repository(get("BUILD_REPOSITORY_URI"))}
		if run := get("BUILD_BUILDID"); run != "" {
			e.Invocation = project + "/_build/results?buildId=" + run
		}
		return e
	}
	return Environment{Builder: LocalBuilder}
}
