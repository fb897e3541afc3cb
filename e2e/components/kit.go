package components

import (
	"context"
	_ "embed" // the source of the kit's subclass
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KitOptions say against which catalog the compatibility kit runs.
type KitOptions struct {
	// URI is the catalog's address.
	URI string
	// Warehouse is where the kit asks for tables.
	Warehouse string
	// S3 is the store's endpoint; empty for a local warehouse.
	S3 string
	// Widened turns on nested namespaces and names with slashes, which have no property.
	Widened bool
	// Properties are further properties of the kit ("rck.requires-namespace-create=true").
	Properties []string
}

// KitResult is what the kit found.
type KitResult struct {
	Passed, Skipped int
	Failed          []string // class.method: message
}

type kitReport struct {
	Cases []struct {
		Name    string `xml:"name,attr"`
		Class   string `xml:"classname,attr"`
		Skipped *struct {
			Message string `xml:",chardata"`
		} `xml:"skipped"`
		Failure *kitFailure `xml:"failure"`
		Error   *kitFailure `xml:"error"`
	} `xml:"testcase"`
}

type kitFailure struct {
	Message string `xml:"message,attr"`
}

// Kit runs the catalog and view suites of the Iceberg REST compatibility kit.
func (l *Lab) Kit(ctx context.Context, name string, opts KitOptions) (KitResult, error) {
	jars, err := filepath.Glob(filepath.Join(l.Cache, "rck", "libs", "*.jar"))
	if err != nil {
		return KitResult{}, err
	}
	var console string
	var classpath []string
	for _, jar := range jars {
		if strings.Contains(jar, "junit-platform-console-standalone") {
			console = jar
			continue
		}
		classpath = append(classpath, jar)
	}
	dir := filepath.Join(l.Dir, "kit-"+name)
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o755); err != nil {
		return KitResult{}, err
	}
	properties := append([]string{
		"rck.local=false", "uri=" + opts.URI, "warehouse=" + opts.Warehouse, "rck.purge-test-namespaces=true",
		"io-impl=org.apache.iceberg.io.ResolvingFileIO", "client.region=us-east-1",
	}, opts.Properties...)
	if opts.S3 != "" {
		properties = append(properties, "s3.endpoint="+opts.S3, "s3.path-style-access=true",
			"s3.access-key-id="+AccessKey, "s3.secret-access-key="+SecretKey)
	}
	suite := "org.apache.iceberg.rest.RESTCompatibilityKitCatalogTests"
	if opts.Widened {
		if err := widen(ctx, dir, strings.Join(append(classpath, console), ":")); err != nil {
			return KitResult{}, err
		}
		classpath = append([]string{dir}, classpath...)
		suite = "org.apache.iceberg.rest.WidenedCatalogTests"
	}
	args := []string{"-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"-Djava.io.tmpdir=" + filepath.Join(dir, "tmp")}
	for _, p := range properties {
		args = append(args, "-D"+p)
	}
	args = append(args, "-jar", console, "execute", "-cp", strings.Join(classpath, ":"),
		"--config", "rck.local=false",
		"--select-class", suite,
		"--select-class", "org.apache.iceberg.rest.RESTCompatibilityKitViewCatalogTests",
		"--details=summary", "--disable-banner", "--reports-dir", dir)
	cmd := exec.CommandContext(ctx, "java", args...)
	cmd.Dir = dir
	out, runErr := cmd.CombinedOutput() // it exits with 1 when a test failed; the report tells
	text, err := os.ReadFile(filepath.Join(dir, "TEST-junit-jupiter.xml"))
	if err != nil {
		return KitResult{}, fmt.Errorf("run the kit: %w: %w\n%s", runErr, err, out)
	}
	return parseKit(text)
}

//go:embed WidenedCatalogTests.java
var widenedSource []byte

// widen compiles the subclass of the kit's tests into dir.
func widen(ctx context.Context, dir, classpath string) error {
	source := filepath.Join(dir, "WidenedCatalogTests.java")
	if err := os.WriteFile(source, widenedSource, 0o644); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", classpath, "-d", dir, source).CombinedOutput()
	if err != nil {
		return fmt.Errorf("compile %s: %w\n%s", source, err, out)
	}
	return nil
}

func parseKit(text []byte) (KitResult, error) {
	var report kitReport
	if err := xml.Unmarshal(text, &report); err != nil {
		return KitResult{}, fmt.Errorf("parse the kit's report: %w", err)
	}
	var result KitResult
	for _, c := range report.Cases {
		failure := c.Failure
		if failure == nil {
			failure = c.Error
		}
		switch {
		case failure != nil:
			class := c.Class[strings.LastIndexByte(c.Class, '.')+1:]
			result.Failed = append(result.Failed, fmt.Sprintf("%s.%s: %.300s", class, c.Name, failure.Message))
		case c.Skipped != nil:
			result.Skipped++
		default:
			result.Passed++
		}
	}
	return result, nil
}
