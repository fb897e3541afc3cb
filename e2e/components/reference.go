package components

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ReferenceCatalog is the Iceberg project's own REST catalog server, a catalog that is not ours.
type ReferenceCatalog struct {
	*Process
	URI string
}

// ReferenceCatalog starts the server on SQLite with its tables in a bucket of the store at endpoint s3.
func (l *Lab) ReferenceCatalog(ctx context.Context, s3, warehouse string) (*ReferenceCatalog, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.Dir, "reference")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	jars, err := filepath.Glob(filepath.Join(l.Cache, "rck", "libs", "*.jar"))
	if err != nil {
		return nil, err
	}
	var classpath []string
	for _, jar := range jars {
		if !strings.Contains(jar, "junit-platform-console-standalone") {
			classpath = append(classpath, jar)
		}
	}
	uri := fmt.Sprintf("http://127.0.0.1:%d", port)
	p, err := l.Start(ctx, Command{
		Name: "reference", Dir: dir, Path: "java",
		Env: []string{
			"CATALOG_CATALOG__IMPL=org.apache.iceberg.jdbc.JdbcCatalog",
			"CATALOG_URI=jdbc:sqlite:file:rest.db?journal_mode=WAL&busy_timeout=5000",
			"CATALOG_JDBC_USER=u", "CATALOG_JDBC_PASSWORD=p", "CATALOG_JDBC_SCHEMA__VERSION=V1",
			"CATALOG_WAREHOUSE=" + warehouse, "CATALOG_IO__IMPL=org.apache.iceberg.aws.s3.S3FileIO",
			"CATALOG_S3_ENDPOINT=" + s3, "CATALOG_S3_PATH__STYLE__ACCESS=true",
			"CATALOG_S3_ACCESS__KEY__ID=" + AccessKey, "CATALOG_S3_SECRET__ACCESS__KEY=" + SecretKey,
			"CATALOG_CLIENT_REGION=us-east-1", fmt.Sprintf("CATALOG_REST_PORT=%d", port),
		},
		Args:  []string{"-Xmx256m", "-cp", strings.Join(classpath, ":"), "org.apache.iceberg.rest.RESTCatalogServer"},
		Ready: Answers(uri + "/v1/config"),
	})
	return &ReferenceCatalog{Process: p, URI: uri}, err
}
