package components

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority signs the certificates and the bearer tokens of one test.
type Authority struct {
	// CAFile is the certificate that clients trust, JWKSFile the key that a broker checks tokens with.
	CAFile, JWKSFile string

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	tokenKey    *rsa.PrivateKey
}

// Identity is a certificate with its key: two PEM files, and both in one.
type Identity struct{ CertFile, KeyFile, BothFile string }

// certificateAge is how long certificates hold: longer than any test.
const certificateAge = 24 * time.Hour

// NewAuthority makes an authority that writes its files into dir.
func NewAuthority(dir string) (*Authority, error) {
	a := &Authority{CAFile: filepath.Join(dir, "ca.pem"), JWKSFile: filepath.Join(dir, "jwks.json"), dir: dir}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.tokenKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateAge),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if err := os.WriteFile(a.CAFile, encodePEM("CERTIFICATE", der), 0o644); err != nil {
		return nil, err
	}
	return a, a.writeJWKS()
}

func (a *Authority) writeJWKS() error {
	public := a.tokenKey.PublicKey
	key := map[string]string{"kty": "RSA", "kid": "test", "use": "sig", "alg": "RS256",
		"n": segment(public.N.Bytes()), "e": segment(big.NewInt(int64(public.E)).Bytes())}
	text, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		return err
	}
	return os.WriteFile(a.JWKSFile, text, 0o644)
}

func segment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Issue signs a certificate for a name on this machine.
func (a *Authority) Issue(name string) (Identity, error) {
	path := filepath.Join(a.dir, name)
	out := Identity{CertFile: path + ".crt", KeyFile: path + ".key", BothFile: path + ".pem"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateAge),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return out, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return out, err
	}
	cert, secret := encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", private)
	for file, text := range map[string][]byte{out.CertFile: cert, out.KeyFile: secret,
		out.BothFile: append(secret, cert...)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Token signs a bearer token of a user that expires at a time.
func (a *Authority) Token(user string, expires time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{"sub": user, "scope": "kafka", "exp": expires.Unix(),
		"iat": expires.Add(-time.Hour).Unix()})
	if err != nil {
		return "", err
	}
	signed := segment([]byte(`{"alg":"RS256","kid":"test","typ":"JWT"}`)) + "." + segment(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.tokenKey, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed + "." + segment(signature), nil
}
