package main

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// benchWarehouse is the warehouse of a benchmark as its configuration has it: a folder beside that file, or with -c a
// place of its own in the warehouse of the user's. What is a reference to a key there is one here: the file may stay.
func (p *program) benchWarehouse() (string, error) {
	if p.configPath == "" {
		return demoWarehouse, nil
	}
	c, err := p.loadConfig()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(p.configPath)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	given := struct {
		Warehouse map[string]any `yaml:"warehouse"`
	}{map[string]any{}}
	if err := yaml.Unmarshal(text, &given); err != nil {
		return "", fmt.Errorf("read configuration %s: %w", p.configPath, err)
	}
	given.Warehouse["location"] = c.Warehouse.Location + "/" + benchTopicName()
	if s3, some := given.Warehouse["s3"].(map[string]any); some && c.Warehouse.S3.CAFile != "" {
		s3["ca_file"] = c.Warehouse.S3.CAFile
	}
	out, err := yaml.Marshal(given)
	return string(out), err
}
