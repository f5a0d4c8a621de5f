// Package arm is Azure Resource Manager on loopback as far as one AKS cluster needs it, made after Microsoft's public documentation, with the
// managed identity that gives tokens for it; it must not be used outside tests.
package arm

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Names of the one cluster, in documentation's own style.
const (
	Subscription = "11111111-2222-3333-4444-555555555555"
	Group        = "shop"
	Name         = "production"
	// ID is the id of the cluster's resource.
	ID = "/subscriptions/" + Subscription + "/resourceGroups/" + Group + "/providers/Microsoft.ContainerService/managedClusters/" + Name
	// Principal is the object id of whoever has the token.
	Principal = "0a1b2c3d-0000-4000-8000-123456789abc"
	// Token opens Azure Resource Manager.
	Token = "arm-token-0123456789"
	// ServerApplication is the application of all AKS clusters' API servers.
	ServerApplication = "6dae42f8-4368-4678-94ff-3960e28e3630"
	// identityHeader proves to the managed identity's endpoint that the caller is the workload.
	identityHeader = "5f8e0c7a"
	apiVersion     = "2025-10-01"
	// logLimit is what is kept of a command's output.
	logLimit = 512 * 1000
)

// Cluster is the managed cluster, as far as it can be set.
type Cluster struct {
	// Server is the URL of the API server, CA its authority in PEM; Inside is where commands find it, Server where it is "".
	Server, Inside string
	CA             []byte
	// Entra says that the cluster wants tokens of Entra ID; ClusterToken is the one that it takes.
	Entra        bool
	ClusterToken string
	// Certificate and Key are those of the local account, in PEM, where Entra is not set.
	Certificate, Key []byte
	// Private, Ranges, NoCommands and Stopped are apiServerAccessProfile and powerState.
	Private, NoCommands, Stopped bool
	Ranges                       []string
	// ID and Host replace what Azure says of the cluster, to be found out.
	ID, Host string
}

// Command is one that was run.
type Command struct {
	Text, Context, Logs string
	ExitCode            int
	Files               []string
}

// Server answers as Azure Resource Manager. It is safe for concurrent use.
type Server struct {
	// HTTP is where it listens. It is closed at the end of the test.
	HTTP *httptest.Server
	// Path are the folders of programs that commands find; "" for those of the test.
	Path string
	// Run replaces the shell that runs commands; nil for sh.
	Run func(text string, files map[string][]byte, token string) (logs string, exitCode int)
	// Slow is how often a command is still running when its result is asked for.
	Slow int

	t        testing.TB
	mu       sync.Mutex
	cluster  Cluster
	fault    func(r *http.Request) http.HandlerFunc
	denied   map[string]bool
	requests []string
	commands []Command
	results  map[string]*running
}

type running struct {
	done  chan struct{}
	asked int
	Command
}

// New starts a server that knows one cluster.
func New(t testing.TB, c Cluster) *Server {
	s := &Server{t: t, cluster: c, denied: map[string]bool{}, results: map[string]*running{}}
	s.HTTP = httptest.NewTLSServer(s)
	t.Cleanup(s.HTTP.Close)
	return s
}

// Set changes the cluster.
func (s *Server) Set(change func(c *Cluster)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.cluster)
}

// Deny refuses an action from now on, as "Microsoft.ContainerService/managedClusters/read".
func (s *Server) Deny(action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[strings.ToLower(action)] = true
}

// Fault is asked about every request from now on; what it returns answers in the server's place.
func (s *Server) Fault(fault func(r *http.Request) http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.fault = nil, fault
}

// Image makes a folder with the programs that a command finds, by their names and where they are; it becomes Path.
func (s *Server) Image(programs map[string]string) {
	s.t.Helper()
	s.Path = s.t.TempDir()
	for name, at := range programs {
		if at == "" {
			found, err := exec.LookPath(name)
			if err != nil {
				s.t.Fatal(err)
			}
			at = found
		}
		if err := os.Symlink(at, filepath.Join(s.Path, name)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Requests are method and path below the cluster of what was asked since the last Fault, Commands what was run.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Commands are what was run, in the order in which they ended.
func (s *Server) Commands() []Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Command(nil), s.commands...)
}

// Environment is what a process needs to find this Azure and its managed identity, and to trust them.
func (s *Server) Environment() []string {
	file := filepath.Join(s.t.TempDir(), "azure.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.HTTP.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return []string{
		"ARM_ENDPOINT=" + s.HTTP.URL, "SSL_CERT_FILE=" + file, "AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential",
		"IDENTITY_ENDPOINT=" + s.HTTP.URL + "/msi/token", "IDENTITY_HEADER=" + identityHeader,
	}
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/msi/token" {
		s.token(w, r)
		return
	}
	below := r.URL.Path
	if len(below) >= len(ID) && strings.EqualFold(below[:len(ID)], ID) {
		below = below[len(ID):]
	}
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+below)
	fault := s.fault
	s.mu.Unlock()
	if fault != nil {
		if h := fault(r); h != nil {
			h(w, r)
			return
		}
	}
	w.Header().Set("X-Ms-Request-Id", fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(s.Requests())))
	switch {
	case r.Header.Get("Authorization") != "Bearer "+Token:
		Refuse(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "The access token is invalid.")
	case r.URL.Query().Get("api-version") == "":
		Refuse(w, http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case r.URL.Query().Get("api-version") != apiVersion:
		Refuse(w, http.StatusBadRequest, "NoRegisteredProviderFound", "No registered resource provider found for this API version.")
	case s.missing(w, r.URL.Path):
	default:
		s.serve(w, r, below)
	}
}

// missing answers for what is not there, as precisely as Azure does.
func (s *Server) missing(w http.ResponseWriter, path string) bool {
	parts := strings.Split(path, "/")
	if len(parts) < 9 {
		Refuse(w, http.StatusNotFound, "InvalidResourceType", "The resource type could not be found.")
		return true
	}
	switch {
	case !strings.EqualFold(parts[2], Subscription):
		Refuse(w, http.StatusNotFound, "SubscriptionNotFound", "The subscription '"+parts[2]+"' could not be found.")
	case !strings.EqualFold(parts[4], Group):
		Refuse(w, http.StatusNotFound, "ResourceGroupNotFound", "Resource group '"+parts[4]+"' could not be found.")
	case !strings.EqualFold(parts[8], Name):
		Refuse(w, http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.ContainerService/managedClusters/"+parts[8]+
			"' under resource group '"+parts[4]+"' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix")
	default:
		return false
	}
	return true
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, below string) {
	command, isResult := strings.CutPrefix(below, "/commandResults/")
	switch {
	case r.Method == http.MethodGet && below == "":
		s.allowed(w, "read", s.get)
	case r.Method == http.MethodPost && below == "/listClusterUserCredential":
		s.allowed(w, "listClusterUserCredential/action", s.credential)
	case r.Method == http.MethodPost && below == "/runCommand":
		s.allowed(w, "runCommand/action", func(w http.ResponseWriter) { s.start(w, r) })
	case r.Method == http.MethodGet && isResult:
		s.allowed(w, "commandResults/read", func(w http.ResponseWriter) { s.result(w, r, command) })
	default:
		Refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed", r.Method+" is not allowed here")
	}
}

func (s *Server) allowed(w http.ResponseWriter, action string, do func(http.ResponseWriter)) {
	action = "Microsoft.ContainerService/managedClusters/" + action
	s.mu.Lock()
	denied := s.denied[strings.ToLower(action)]
	s.mu.Unlock()
	if denied {
		Refuse(w, http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' "+
			"or the scope is invalid. If access was recently granted, please refresh your credentials.", Principal, Principal, action, ID))
		return
	}
	do(w)
}

// Refuse answers with an error in the form of Azure Resource Manager.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	Answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

// Answer answers with JSON.
func Answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone needs none
}

func (s *Server) get(w http.ResponseWriter) {
	s.mu.Lock()
	c := s.cluster
	s.mu.Unlock()
	power, host, id := "Running", c.Host, c.ID
	if c.Stopped {
		power = "Stopped"
	}
	if u, err := url.Parse(c.Server); err == nil && host == "" {
		host = u.Hostname()
	}
	if id == "" {
		id = strings.Replace(ID, "/resourceGroups/", "/resourcegroups/", 1) // as Azure writes it
	}
	properties := map[string]any{
		"provisioningState": "Succeeded", "powerState": map[string]any{"code": power}, "kubernetesVersion": "1.36", "fqdn": host,
		"disableLocalAccounts": c.Entra,
		"apiServerAccessProfile": map[string]any{
			"enablePrivateCluster": c.Private, "authorizedIPRanges": c.Ranges, "disableRunCommand": c.NoCommands,
		},
	}
	if c.Private {
		properties["privateFQDN"] = host
		delete(properties, "fqdn")
	}
	if c.Entra {
		properties["aadProfile"] = map[string]any{"managed": true, "enableAzureRBAC": true, "tenantID": "22222222-3333-4444-5555-666666666666"}
	}
	Answer(w, http.StatusOK, map[string]any{
		"id": id, "name": Name, "type": "Microsoft.ContainerService/ManagedClusters", "location": "westeurope", "properties": properties,
	})
}

// token is the endpoint of a managed identity, as App Service documents it.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	clusterToken := s.cluster.ClusterToken
	s.mu.Unlock()
	token := ""
	switch resource := r.URL.Query().Get("resource"); {
	case r.Header.Get("X-IDENTITY-HEADER") != identityHeader || r.URL.Query().Get("api-version") != "2019-08-01":
		http.Error(w, `{"statusCode":401,"message":"Unauthorized"}`, http.StatusUnauthorized)
		return
	case resource == s.HTTP.URL:
		token = Token
	case resource == ServerApplication:
		token = clusterToken
	default:
		http.Error(w, `{"statusCode":400,"message":"no such resource"}`, http.StatusBadRequest)
		return
	}
	Answer(w, http.StatusOK, map[string]any{
		"access_token": token, "resource": r.URL.Query().Get("resource"), "token_type": "Bearer", "client_id": Principal,
		"expires_on": strconv.FormatInt(time.Now().Add(24*time.Hour).Unix(), 10),
	})
}
