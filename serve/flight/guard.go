package flight

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// guard knows the tokens by their digests, so that the time of comparing tells nothing about them. One without tokens
// admits everybody.
//
// Clients of JDBC begin with a handshake, whether they have a password or a bearer token, and cannot go on without a
// bearer token in its answer. The library's middleware refuses them the second kind.
type guard struct{ digests [][sha256.Size]byte }

// tokenOfNobody is what a handshake answers those who sent none to a server that asks for none.
const tokenOfNobody = "none"

func newGuard(opts Options) guard {
	var g guard
	for _, token := range []string{opts.ReadToken, opts.WriteToken} {
		if token != "" {
			g.digests = append(g.digests, sha256.Sum256([]byte(token)))
		}
	}
	return g
}

func (g guard) admitCall(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := g.check(sentToken(ctx)); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (g guard) admitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	token := sentToken(stream.Context())
	if err := g.check(token); err != nil {
		return err
	}
	if path.Base(info.FullMethod) == "Handshake" {
		if token == "" {
			token = tokenOfNobody
		}
		stream.SetTrailer(metadata.Pairs("authorization", "Bearer "+token))
	}
	return next(srv, stream)
}

// check says whether a token is one of ours.
func (g guard) check(token string) error {
	if len(g.digests) == 0 {
		return nil
	}
	digest, found := sha256.Sum256([]byte(token)), 0
	for _, known := range g.digests {
		found |= subtle.ConstantTimeCompare(digest[:], known[:])
	}
	if found == 0 {
		return status.Error(codes.Unauthenticated, "no token, or a wrong one: send 'authorization: Bearer "+
			"TOKEN', or the token as the password of any user; the tokens are those of the catalog")
	}
	return nil
}

// sentToken is the bearer token of a call, or the password of whatever user.
func sentToken(ctx context.Context) string {
	sent := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(sent) == 0 {
		return ""
	}
	scheme, credential, _ := strings.Cut(strings.TrimSpace(sent[0]), " ")
	credential = strings.TrimLeft(credential, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		return credential
	case "basic":
		text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(credential, "="))
		if err != nil {
			return ""
		}
		_, password, _ := strings.Cut(string(text), ":")
		return password
	}
	return ""
}
