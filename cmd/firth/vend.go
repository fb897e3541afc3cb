package main

import (
	"fmt"
	"strings"

	"github.com/firthlake/firth/catalog"
	"github.com/firthlake/firth/table/objstore"
)

// What --vend says beside the ARN of a role.
const (
	vendAuto = "auto"
	vendOff  = "off"
)

// vendor gives clients of the catalog temporary keys for tables, or is nil where they need keys of their own: as --vend
// says, and where the warehouse lies in no bucket.
func (s *service) vendor(p *program, vend string) (catalog.Vendor, error) {
	c := s.feeder.lake.config
	role := ""
	switch {
	case strings.HasPrefix(vend, "arn:"):
		role = vend
	case vend != vendAuto && vend != vendOff:
		return nil, couldNot(fmt.Errorf("--vend %s is none of %s, %s and the ARN of a role", vend, vendAuto, vendOff),
			"see docs/catalog.md")
	}
	if vend == vendOff || objstore.Scheme(c.Warehouse.Location) != "s3" {
		return nil, nil
	}
	if role == "" && c.Warehouse.S3.Endpoint == "" {
		s.log.Info("clients need keys of their own: AWS gives temporary ones for a role only (--vend ARN)")
		return nil, nil
	}
	return objstore.NewVendor(objstore.VendorOptions{S3: c.Warehouse.S3, Role: role, Now: p.now,
		Within: append([]string{c.Warehouse.Location}, c.Catalog.AllowedLocations...)})
}
