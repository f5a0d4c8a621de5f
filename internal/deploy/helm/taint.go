package helm

import (
	"encoding/json"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// refuseTainted finds hidden variables in values, in the chart and in what it renders: Helm keeps all of them in clear text and for ever.
func refuseTainted(req deploy.Request, c *chart.Chart, values common.Values, objects []object) error {
	if req.Tainted == nil {
		return nil
	}
	refuse := func(text, where string) error {
		variable := req.Tainted(text)
		if variable == "" {
			return nil
		}
		return fault.New(fault.Fatal, "", "the content of variable %s stands in %s, and Helm would keep it in clear text", variable, where).
			WithHint("let pods read it from the Secret whose name variableValues.secretName gives to the chart; if it is no secret, take it `as: value`")
	}
	for _, file := range req.Release.Environments[req.Environment].Values {
		if err := refuse(string(req.Release.Files[file]), "the values file "+file); err != nil {
			return err
		}
	}
	for _, file := range c.Raw {
		if err := refuse(string(file.Data), "the file "+file.Name+" of the chart"); err != nil {
			return err
		}
	}
	text, err := json.Marshal(values["Values"])
	if err != nil {
		return fault.Wrap(fault.Internal, "look for secrets in values", err)
	}
	if err := refuse(string(text), "the chart's values"); err != nil {
		return err
	}
	for _, o := range objects {
		if text, err = json.Marshal(o.Object); err != nil {
			return fault.Wrap(fault.Internal, "look for secrets in "+o.id(), err)
		}
		if err := refuse(string(text), o.GetKind()+" "+o.GetName()+" ("+o.template+")"); err != nil {
			return err
		}
	}
	return nil
}
