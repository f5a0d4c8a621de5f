package aks

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sigs.k8s.io/yaml"
)

// kubeconfig is what Azure hands to a user, without the program that it would have kubectl run. It prints no secret.
type kubeconfig struct {
	server           string
	ca               []byte
	certificate, key []byte
	token            string
}

func (k kubeconfig) String() string { return "kubeconfig of " + k.server }

// GoString is String: %#v tells no more.
func (k kubeconfig) GoString() string { return k.String() }

// userConfig asks Azure for the credentials of a user of the cluster.
func (m *manager) userConfig(ctx context.Context) (kubeconfig, error) {
	var answer struct {
		Kubeconfigs []struct {
			Name  string `json:"name"`
			Value []byte `json:"value"`
		} `json:"kubeconfigs"`
	}
	if err := m.post(ctx, "/listClusterUserCredential", nil, &answer); err != nil {
		return kubeconfig{}, err
	}
	if len(answer.Kubeconfigs) == 0 {
		return kubeconfig{}, m.stranger(errors.New("there is no kubeconfig in the answer"))
	}
	config, err := parse(answer.Kubeconfigs[0].Value)
	if err != nil {
		return kubeconfig{}, m.stranger(err)
	}
	return config, nil
}

// parse reads the one cluster and user that a kubeconfig of Azure's has. Its errors repeat nothing of the text, which holds keys.
func parse(text []byte) (kubeconfig, error) {
	var file struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
				Token       string `json:"token"`
			} `json:"user"`
		} `json:"users"`
	}
	if yaml.Unmarshal(text, &file) != nil {
		return kubeconfig{}, errors.New("the kubeconfig in the answer is none")
	}
	if len(file.Clusters) != 1 || len(file.Users) != 1 {
		return kubeconfig{}, fmt.Errorf("the kubeconfig in the answer has %d clusters and %d users", len(file.Clusters), len(file.Users))
	}
	c, u := file.Clusters[0].Cluster, file.Users[0].User
	server, err := url.Parse(c.Server)
	if err != nil || server.Scheme != "https" || server.Hostname() == "" {
		return kubeconfig{}, errors.New("the kubeconfig in the answer names no API server by https")
	}
	return kubeconfig{server: strings.TrimRight(c.Server, "/"), ca: c.CA, certificate: u.Certificate, key: u.Key, token: u.Token}, nil
}

// leadsTo says whether the API server is one of the cluster's: no token is sent elsewhere.
func (k kubeconfig) leadsTo(m *managed) bool {
	server, err := url.Parse(k.server)
	if err != nil {
		return false
	}
	for _, host := range m.hosts() {
		if strings.EqualFold(server.Hostname(), host) {
			return true
		}
	}
	return false
}
