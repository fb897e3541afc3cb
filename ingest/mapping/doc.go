// Package mapping changes JSON documents as --map says: fields get another name, type or value.
//
//	amount = cast(amount as double)          text becomes a number
//	user_id = uid                            another name
//	country = coalesce(country, 'unknown')   a value where there is none
//
// A Mapping is an immutable value. docs/repair.md tells the language.
package mapping
