package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

const (
	validity   = 10 * 365 * 24 * time.Hour
	backdated  = time.Hour // clocks differ, and a virtual machine may wake with an old one
	serialBits = 120
)

// identity is one certificate of the node's authority.
type identity struct {
	file         string
	user         string
	groups       []string
	serving      bool
	alternatives []string
}

// identities are all that the node's programs and its user need.
func (s Settings) identities() []identity {
	node := s.nodeAddress().String()
	return []identity{
		{file: "apiserver", user: "kube-apiserver", serving: true, alternatives: []string{
			"127.0.0.1", node, s.apiService().String(), "localhost", "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{file: "kubelet-serving", user: "system:node:" + s.Name, groups: []string{"system:nodes"}, serving: true,
			alternatives: []string{node, s.Name}},
		{file: "admin", user: "sluice-local:admin", groups: []string{"system:masters"}},
		{file: "apiserver-kubelet", user: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		{file: "controller-manager", user: "system:kube-controller-manager"},
		{file: "scheduler", user: "system:kube-scheduler"},
		{file: "kubelet", user: "system:node:" + s.Name, groups: []string{"system:nodes"}},
		{file: "kube-proxy", user: "system:kube-proxy"},
		{file: "coredns", user: "sluice-local:coredns"},
		{file: "traefik", user: "sluice-local:traefik"},
		{file: "provisioner", user: "sluice-local:provisioner"},
		{file: "aggregation", user: aggregationUser},
	}
}

const (
	authorityFile      = "ca"
	serviceAccountFile = "service-account"
	aggregationUser    = "sluice-local:aggregation"
)

// ensureKeys makes the certificate authority, the certificates and the kubeconfigs that are not there yet.
func (s Settings) ensureKeys(now time.Time) error {
	paths := s.layout()
	authority, err := s.ensureAuthority(now)
	if err != nil {
		return err
	}
	for _, who := range s.identities() {
		if there, err := exists(paths.certificate(who.file)); err != nil || there {
			if err != nil {
				return err
			}
			continue
		}
		certificate, key, err := authority.issue(who, now)
		if err != nil {
			return fmt.Errorf("issue the certificate of %s: %w", who.user, err)
		}
		if err := s.writeKubeconfig(who, authority, certificate, key); err != nil {
			return err
		}
		if err := writeKeyPair(paths, who.file, certificate, key); err != nil {
			return err
		}
	}
	if there, err := exists(paths.certificate(serviceAccountFile)); err != nil || there {
		return err
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key of service accounts: %w", err)
	}
	private, public, err := encodeKey(signer)
	if err != nil {
		return err
	}
	return writeKeyPair(paths, serviceAccountFile, public, private)
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ensureAuthority reads the certificate authority, or makes it.
func (s Settings) ensureAuthority(now time.Time) (*authority, error) {
	paths := s.layout()
	there, err := exists(paths.certificate(authorityFile))
	if err != nil {
		return nil, fmt.Errorf("look for the certificate authority: %w", err)
	}
	if there {
		return readAuthority(paths.certificate(authorityFile), paths.key(authorityFile))
	}
	made, err := newAuthority(s.Name, now)
	if err != nil {
		return nil, err
	}
	return made, writeKeyPair(paths, authorityFile, made.certificatePEM, made.keyPEM)
}

// writeKubeconfig is for identities that are clients.
func (s Settings) writeKubeconfig(who identity, authority *authority, certificate, key []byte) error {
	if who.serving {
		return nil
	}
	file := s.layout().client(who.file)
	if who.file == "admin" {
		file = s.layout().kubeconfig()
	}
	content, err := renderKubeconfig(s, who.file, authority.certificatePEM, certificate, key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// writeKeyPair writes the certificate last: where it is, the rest is, too.
func writeKeyPair(paths layout, name string, certificate, key []byte) error {
	if err := os.WriteFile(paths.key(name), key, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := os.WriteFile(paths.certificate(name), certificate, 0o600); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return nil
}

type authority struct {
	certificate            *x509.Certificate
	key                    *ecdsa.PrivateKey
	certificatePEM, keyPEM []byte
}

func newAuthority(name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template, err := newTemplate(pkix.Name{CommonName: name + " authority"}, now)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back the certificate authority: %w", err)
	}
	private, _, err := encodeKey(key)
	return &authority{certificate: certificate, key: key, certificatePEM: encodeCertificate(der), keyPEM: private}, err
}

func readAuthority(certificateFile, keyFile string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the certificate authority: key in %s is a %T, want an ECDSA key", keyFile, pair.PrivateKey)
	}
	return &authority{certificate: pair.Leaf, key: key, certificatePEM: encodeCertificate(pair.Certificate[0])}, nil
}

func newTemplate(subject pkix.Name, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: now.Add(-backdated), NotAfter: now.Add(validity),
	}, nil
}

func (a *authority) issue(who identity, now time.Time) (certificatePEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: who.user, Organization: who.groups}, now)
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if who.serving {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, alternative := range who.alternatives {
		if address := net.ParseIP(alternative); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, alternative)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	private, _, err := encodeKey(key)
	return encodeCertificate(der), private, err
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) (private, public []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a private key: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encode a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}), nil
}
