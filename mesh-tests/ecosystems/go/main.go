// Command oauth-go gets access tokens from the edge with golang.org/x/oauth2
// and validates them with jwx.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const scope = "door:open"

type server struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	KeysURI       string `json:"jwks_uri"`
	keys          jwk.Set
	ctx           context.Context
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oauth-go:", strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
}

func run() error {
	s, err := discover(os.Getenv("EDGE_URL"), os.Getenv("EDGE_CA"))
	if err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	if err := s.trySecret(oauth2.AuthStyleInHeader); err != nil {
		return fmt.Errorf("AuthStyleInHeader: %w", err)
	}
	if err := s.trySecret(oauth2.AuthStyleInParams); err != nil {
		return fmt.Errorf("AuthStyleInParams: %w", err)
	}
	jwtID := os.Getenv("JWT_CLIENT_ID")
	if jwtID != "" {
		if err := s.tryKey(jwtID); err != nil {
			return fmt.Errorf("private_key_jwt: %w", err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"library":         library("golang.org/x/oauth2"),
		"secret":          true,
		"private_key_jwt": jwtID != "",
		"validated_by":    library("github.com/lestrrat-go/jwx/v2"),
	})
}

func discover(issuer, caFile string) (*server, error) {
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: no certificate", caFile)
	}
	client := &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
	}
	response, err := client.Get(issuer + "/.well-known/oauth-authorization-server")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	s := &server{ctx: context.WithValue(context.Background(), oauth2.HTTPClient, client)}
	if err := json.NewDecoder(response.Body).Decode(s); err != nil {
		return nil, err
	}
	if s.Issuer != issuer {
		return nil, fmt.Errorf("issuer is %q", s.Issuer)
	}
	s.keys, err = jwk.Fetch(s.ctx, s.KeysURI, jwk.WithHTTPClient(client))
	return s, err
}

func (s *server) trySecret(style oauth2.AuthStyle) error {
	config := clientcredentials.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		AuthStyle:    style,
	}
	if err := s.try(config); err != nil {
		return err
	}
	config.ClientSecret += "x"
	var refusal *oauth2.RetrieveError
	if err := s.try(config); !errors.As(err, &refusal) || refusal.ErrorCode != "invalid_client" {
		return fmt.Errorf("a wrong secret was not refused as invalid_client: %v", err)
	}
	return nil
}

// tryKey makes the client assertion of RFC 7523 itself: x/oauth2 only carries it.
func (s *server) tryKey(clientID string) error {
	text, err := os.ReadFile(os.Getenv("JWT_KEY"))
	if err != nil {
		return err
	}
	key, err := jwk.ParseKey(text, jwk.WithPEM(true))
	if err != nil {
		return err
	}
	if err := key.Set(jwk.KeyIDKey, os.Getenv("JWT_KID")); err != nil {
		return err
	}
	now := time.Now()
	random := oauth2.GenerateVerifier()
	assertion, err := jwt.NewBuilder().Issuer(clientID).Subject(clientID).Audience([]string{s.Issuer}).
		JwtID(random).IssuedAt(now).Expiration(now.Add(time.Minute)).Build()
	if err != nil {
		return err
	}
	signed, err := jwt.Sign(assertion, jwt.WithKey(jwa.ES256, key))
	if err != nil {
		return err
	}
	return s.try(clientcredentials.Config{
		ClientID:  clientID,
		AuthStyle: oauth2.AuthStyleInParams,
		EndpointParams: url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {string(signed)},
		},
	})
}

// try gets a token and validates it.
func (s *server) try(config clientcredentials.Config) error {
	config.TokenURL, config.Scopes = s.TokenEndpoint, []string{scope}
	issued, err := config.Token(s.ctx)
	if err != nil {
		return err
	}
	message, err := jws.Parse([]byte(issued.AccessToken), jws.WithCompact())
	if err != nil {
		return err
	}
	header := message.Signatures()[0].ProtectedHeaders()
	if header.Algorithm() != jwa.ES256 || header.Type() != "at+jwt" {
		return fmt.Errorf("the token is %s, %s", header.Algorithm(), header.Type())
	}
	token, err := jwt.ParseString(issued.AccessToken, jwt.WithKeySet(s.keys), jwt.WithIssuer(s.Issuer),
		jwt.WithAudience(s.Issuer), jwt.WithRequiredClaim(jwt.ExpirationKey), jwt.WithClaimValue("client_id", config.ClientID))
	if err != nil {
		return err
	}
	granted, _ := token.Get("scope")
	if !strings.Contains(fmt.Sprintf(" %v ", granted), " "+scope+" ") {
		return fmt.Errorf("scope of the token is %v", granted)
	}
	return nil
}

func library(path string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == path {
			return path + " " + module.Version
		}
	}
	return path
}
