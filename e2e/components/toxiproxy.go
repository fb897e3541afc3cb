package components

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
)

// Toxiproxy stands between clients and servers and breaks what passes.
type Toxiproxy struct {
	*Process
	API string
}

// Toxiproxy starts the proxy server; Proxy puts it before a server.
func (l *Lab) Toxiproxy(ctx context.Context) (*Toxiproxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	api := fmt.Sprintf("http://127.0.0.1:%d", port)
	p, err := l.Start(ctx, Command{
		Name: "toxiproxy", Path: filepath.Join(l.Cache, "bin", "toxiproxy"),
		Args: []string{"-host", "127.0.0.1", "-port", fmt.Sprint(port)}, Ready: Answers(api + "/version"),
	})
	return &Toxiproxy{Process: p, API: api}, err
}

// Proxy is a door to one server.
type Proxy struct {
	Address string // host:port for clients
	Name    string
	api     string
}

// Toxic is one way to break connections, as toxiproxy's API writes it.
type Toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`
}

// Proxy opens a door to the server at host:port.
func (x *Toxiproxy) Proxy(ctx context.Context, name, server string) (*Proxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{Address: fmt.Sprintf("127.0.0.1:%d", port), Name: name, api: x.API + "/proxies"}
	return p, p.call(ctx, http.MethodPost, "", map[string]any{
		"name": name, "listen": p.Address, "upstream": server, "enabled": true,
	})
}

// Add lets a toxic work until it is removed.
func (p *Proxy) Add(ctx context.Context, toxic Toxic) error {
	return p.call(ctx, http.MethodPost, "/"+p.Name+"/toxics", toxic)
}

// Remove ends a toxic.
func (p *Proxy) Remove(ctx context.Context, toxic string) error {
	return p.call(ctx, http.MethodDelete, "/"+p.Name+"/toxics/"+toxic, nil)
}

// Close refuses connections until Open.
func (p *Proxy) Close(ctx context.Context) error {
	return p.call(ctx, http.MethodPost, "/"+p.Name, map[string]any{"enabled": false})
}

// Open ends Close.
func (p *Proxy) Open(ctx context.Context) error {
	return p.call(ctx, http.MethodPost, "/"+p.Name, map[string]any{"enabled": true})
}

func (p *Proxy) call(ctx context.Context, method, path string, body any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.api+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		answer, _ := io.ReadAll(resp.Body) // the status says enough
		return fmt.Errorf("toxiproxy %s %s: %s %s", method, path, resp.Status, answer)
	}
	return nil
}
