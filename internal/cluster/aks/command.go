package aks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// commandTime is how long is waited for the result of a command: Azure gives its pod a minute to start, and the script a minute to run.
const commandTime = 3 * time.Minute

// firstLook and longestLook are the rests between two looks for a result.
const (
	firstLook   = 500 * time.Millisecond
	longestLook = 2 * time.Second
)

// result is what Azure says of a command.
type result struct {
	ID         string `json:"id"`
	Properties struct {
		State    string `json:"provisioningState"`
		ExitCode *int   `json:"exitCode"`
		Logs     string `json:"logs"`
		Reason   string `json:"reason"`
	} `json:"properties"`
}

// carry runs one command for a batch.
func (c *carrier) carry(ctx context.Context, parcels []*parcel) ([]reply, error) {
	b, err := newBatch(parcels)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "pack requests for the run-command API", err)
	}
	body := map[string]any{"command": command, "context": b.context}
	if c.token != nil {
		token, _, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		body["clusterToken"] = token
	}
	done, err := c.arm.run(ctx, body)
	if err != nil {
		return nil, err
	}
	replies, err := b.replies(done.Properties.Logs)
	if err == nil {
		return replies, nil
	}
	exit := "unknown"
	if done.Properties.ExitCode != nil {
		exit = fmt.Sprint(*done.Properties.ExitCode)
	}
	if errors.Is(err, errCut) && exit != "0" {
		err = fmt.Errorf("the command ended with exit code %s: %s", exit, problem(done.Properties.Logs))
	}
	return nil, c.arm.unreachable("run-command API: %w", err).
		WithHint("try it by hand: az aks command invoke --resource-group %s --name %s --command 'kubectl version'", c.arm.spec.ResourceGroup, c.arm.spec.Name)
}

// run starts a command and waits for its result. A command is sent again only where Azure says that it did not take it: whether one whose
// answer got lost was run nobody knows.
func (m *manager) run(ctx context.Context, body any) (*result, error) {
	var at string
	err := variables.Patiently(ctx, m.clock, func(ctx context.Context) error {
		a, err := m.send(ctx, http.MethodPost, m.url("/runCommand"), body)
		switch {
		case err != nil:
			return m.unanswered(ctx, err, false)
		case a.status != http.StatusAccepted && a.status != http.StatusOK:
			return m.refused(a, false)
		}
		at, err = m.location(a)
		return err
	})
	if err != nil {
		return nil, err
	}
	var waited time.Duration
	for rest := firstLook; ; rest = min(rest*3/2, longestLook) {
		waited += rest
		if err := m.clock.Wait(ctx, rest); err != nil {
			return nil, fault.Wrap(fault.Interrupted, "AKS cluster "+m.spec.Name, err)
		}
		r, err := m.look(ctx, at)
		if err != nil {
			return nil, err
		}
		switch state := r.Properties.State; {
		case state == "Failed" || state == "Canceled":
			return nil, m.unreachable("the command could not be run: %s %s", state, oneLine(r.Properties.Reason)).
				WithHint("is there room for a pod in the namespace aks-command? 200m CPU, 500Mi memory, within a minute; policies may forbid it too")
		case r.Properties.ExitCode != nil || state == "Succeeded":
			return r, nil
		case waited > commandTime:
			return nil, m.unreachable("the command has no result after %s (%s)", commandTime, state).
				WithHint("is there room for a pod in the namespace aks-command?")
		}
	}
}

// look asks for the result of a command. What it is in is in the body; the status says less.
func (m *manager) look(ctx context.Context, at string) (*result, error) {
	var r result
	err := variables.Patiently(ctx, m.clock, func(ctx context.Context) error {
		a, err := m.send(ctx, http.MethodGet, at, nil)
		switch {
		case err != nil:
			return m.unanswered(ctx, err, true)
		case a.status == http.StatusAccepted && len(a.body) == 0:
			return nil
		case a.status != http.StatusAccepted && a.status != http.StatusOK:
			return m.refused(a, true)
		case json.Unmarshal(a.body, &r) != nil:
			return m.stranger(errors.New("the result of a command is not of the form that is documented"))
		}
		return nil
	})
	return &r, err
}

// location is where the result will be: only Azure Resource Manager itself is asked, for the token goes along.
func (m *manager) location(a *answer) (string, error) {
	at, err := url.Parse(a.header.Get("Location"))
	if err != nil || at.Scheme != "https" || !strings.EqualFold(at.Host, m.endpoint.Host) {
		return "", m.stranger(errors.New("it does not say where the result of a command will be"))
	}
	return at.String(), nil
}
