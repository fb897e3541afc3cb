package main

import (
	"context"
	"fmt"

	"github.com/firthlake/firth/ingest/messageschema"
	"github.com/firthlake/firth/ingest/registry"
)

// columnsOf gives the columns of a registered schema, whatever its language.
func columnsOf(
	ctx context.Context, schema *registry.Schema, options messageschema.Options,
) (messageschema.Columns, error) {
	imports := map[string]string{}
	texts := make([]string, 0, len(schema.Imports))
	for _, i := range schema.Imports {
		imports[i.Name] = i.Text
		texts = append(texts, i.Text)
	}
	switch schema.Format {
	case registry.Avro, "":
		t, err := messageschema.ParseAvro(schema.Text, texts...)
		if err != nil {
			return messageschema.Columns{}, err
		}
		return t.Columns(options), nil
	case registry.Protobuf:
		file, err := messageschema.ParseProtobuf(ctx, schema.Text, imports)
		if err != nil {
			return messageschema.Columns{}, err
		}
		message, err := messageschema.ProtobufMessage(file, []int{0})
		if err != nil {
			return messageschema.Columns{}, err
		}
		return messageschema.ProtobufColumns(message, options), nil
	case registry.JSONSchema:
		return messageschema.JSONSchemaColumns(schema.Text, imports)
	}
	return messageschema.Columns{}, fmt.Errorf("schema language %q is not read by this version",
		schema.Format)
}

// recordFormat is the source format of records written with a registered schema.
func recordFormat(schema *registry.Schema) string {
	switch schema.Format {
	case registry.Protobuf:
		return "protobuf"
	case registry.JSONSchema:
		return "jsonschema"
	}
	return "avro"
}
