package doctor

import (
	"time"

	"github.com/sluice-dev/sluice/internal/identity"
)

// Facts are what was found out about one environment. What was not asked, because something before it failed, is nil.
type Facts struct {
	Environment, Namespace string
	// Now is when they were gathered.
	Now time.Time
	// SignIn is who this run is for a cloud; nil where the environment needs no cloud.
	SignIn       *SignIn
	Cluster      Cluster
	Repositories []Repository
	// Store is where variables come from; nil where nothing needs one.
	Store *Store
}

// SignIn is what came of asking a cloud to let this run in.
type SignIn struct {
	// For says what needs it: "AKS shop-prod", "Key Vault prod-vault".
	For []string
	// Attempts in their order; the last one may have worked.
	Attempts []identity.Attempt
	// Decided says why no more was tried; "" where everything was.
	Decided string
	// Err is why nobody is signed in; nil where somebody is.
	Err error
}

// Trouble is a class of what goes wrong on the way to a server.
type Trouble string

// The troubles; none is "".
const (
	NoSuchName    Trouble = "noSuchName"    // DNS says that there is no such name
	NoResolver    Trouble = "noResolver"    // DNS could not be asked
	Refused       Trouble = "refused"       // nobody listens there
	Silent        Trouble = "silent"        // nobody answered in time
	NoRoute       Trouble = "noRoute"       // no network leads there
	Expired       Trouble = "expired"       // a certificate's time is over
	NotYetValid   Trouble = "notYetValid"   // a certificate's time has not begun
	UnknownIssuer Trouble = "unknownIssuer" // nobody who is trusted has signed the certificate
	WrongName     Trouble = "wrongName"     // the certificate is somebody else's
	NotTLS        Trouble = "notTLS"        // the server speaks something else
	Unwell        Trouble = "unwell"        // the server answers that it cannot serve
	NotTaken      Trouble = "notTaken"      // the server does not take the credentials
	Anonymous     Trouble = "anonymous"     // no credentials arrived
	Unhelped      Trouble = "unhelped"      // the program that gives the credentials gave none
	NotAsked      Trouble = "notAsked"      // the server does not know the question
	Other         Trouble = "other"
)

// Step is a step on the way to a server, and what came of it.
type Step struct {
	Trouble Trouble
	// Says is what the system or the server says of the trouble.
	Says string
	// Seen is what was found on the way: addresses, the owner of a certificate.
	Seen []string
	// Err is the trouble, where it is something else than the server that refused and that says what to do.
	Err error
}

// Cluster is what was found out on the way to an environment's cluster.
type Cluster struct {
	// Way is how sluice.yaml names it: `context "prod"`.
	Way string
	// Kubectl is how a person calls kubectl for it.
	Kubectl string
	// Azure is the id of its resource at Azure, where it is known.
	Azure string
	// Origin says where its address and credentials were found.
	Origin []string
	// Notices are what a person must know of the way to it.
	Notices []string
	// Settings is why there is no address to connect to; nil where there is one.
	Settings error
	// Server is the URL of the API server.
	Server     string
	Credential *Credential
	Network    *Network
	Answer     *Answer
	Login      *Login
	Identity   *Identity
	Namespace  *Namespace
	// Access is what was asked about rights, and what the cluster answered.
	Access []Access
	// Notes are what stands in the way of asking for more.
	Notes []Note
	// Sources are what an analysis counts by; none where there is no analysis.
	Sources []Source
}

// Source is one that was read to count something.
type Source struct {
	// Name says what is counted: "requests of shop".
	Name string
	// Err is why it cannot be, Nothing that the source answers and has counted nothing yet.
	Err     error
	Nothing string
}

// Note is something that was met while looking at something else.
type Note struct {
	Title, Says, Next string
}

// Credential is what is shown to a cluster, never the secret in it.
type Credential struct {
	// Kind for people: "client certificate", "token", "program kubelogin"; "" where there is none.
	Kind string
	// Owner is who it is for, as far as it says so.
	Owner string
	// Presented is what a token says of itself; nil where it is none that says anything.
	Presented *identity.Claims
	// Expires is zero where it does not say.
	Expires time.Time
	// Program gives the credentials where they are made anew for each run; Absent says that it is not on this machine, Install how it gets there.
	Program, Install string
	Absent           bool
}

// Network is what was found out without speaking HTTP. Where a step fails the later ones are nil.
type Network struct {
	Host, Port string
	// Proxy leads to the server; the steps are those to it. "" where there is none.
	Proxy string
	// Plain says that the server is spoken to without TLS, Unverified that its certificate may be anybody's.
	Plain, Unverified    bool
	Resolve, Dial, Shake *Step
	// Addresses are what the name stands for.
	Addresses []string
}

// Answer is what the API server says to whoever asks.
type Answer struct {
	Step
	Version string
}

// Login is who the cluster takes this run for.
type Login struct {
	Step
	User   string
	Groups []string
}

// Identity is which cluster this is, and which it has to be.
type Identity struct {
	// Name is the UID of its kube-system namespace, else the URL of its API server; Readable says that the UID may be read.
	Name     string
	Readable bool
	// Named is what sluice.yaml says; Mismatch why it is not this one.
	Named    string
	Mismatch error
	// Pinned says that the namespace is pinned to this cluster; PinError why that is not known, or that it is another one.
	Pinned   bool
	PinError error
}

// Namespace is that of the environment.
type Namespace struct {
	Exists bool
	// Hidden says that it may not be looked at; MayCreate is known only where there is none.
	Hidden, MayCreate bool
	Err               error
}

// Repository is one of a registry.
type Repository struct {
	Name string
	// For says what it is used for.
	For string
	// Account is who is shown to the registry; "" for nobody.
	Account string
	// Read and Write are why it may not be read or written.
	Read, Write error
	// Writes says that deployments write there, and not only builds.
	Writes bool
}

// Store is what holds an environment's variables.
type Store struct {
	// Name of the store, for people.
	Name string
	// Err is why it could not be opened or asked, nil where it was.
	Err error
	// Blocked says that it is behind the cluster, which was not reached.
	Blocked   bool
	Variables []Variable
}

// Variable is one that services take, never its content.
type Variable struct {
	// Name in the store.
	Name string
	// Users are the services that take it.
	Users   []string
	Version string
	Expires time.Time
	// Err is why it cannot be used.
	Err error
}
