// Package objstore is where bytes lie: S3, a local folder, memory, and a wrapper that injects
// faults.
//
// Store is the one narrow seam. The S3 SDK is imported here and nowhere else. Every implementation
// passes the conformance suite in objstoretest.
//
// A Vendor has a store make temporary keys for one location, which clients get.
package objstore
