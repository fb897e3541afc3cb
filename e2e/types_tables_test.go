//go:build e2e

package e2e

import "strings"

// odd are partition values that are hard on paths and on readers.
func odd() *dataset {
	return &dataset{name: "odd", partition: []string{"s"}, rows: 80, columns: []column{{"s", "string", plus(texts(
		"", " ", "%", "%2F", "+", "..", "/", "a b", "a'b", "a/b/../c", "a=b", "a\\b", "null", "s=x/t=y",
		"é", "日本", "\ufffd", "😀"), null()), nil}}}
}

// transformed are partitions by bucket and truncate, several fields at once.
func transformed() *dataset {
	return &dataset{name: "transformed", rows: 48, columns: []column{
		{"name", "string", plus(texts("", "a", "ab", "abc", "abd", "日本", "日本語", "😀😀😀"), null()), nil},
		{"amount", "decimal(9, 2)", plus(number("-100.01", "-0.01", "0.00", "0.99", "1.00", "99999.99"), null()), nil},
		{"n", "int", plus(number("-2147483640", "-11", "-10", "-1", "0", "9", "10", "2147483647"), null()), nil},
		{"key", "uuid", []cell{uuidCell("00000000-0000-0000-0000-000000000000"),
			uuidCell("7fffffff-ffff-4fff-bfff-ffffffffffff")}, nil},
		{"l", "long", plus(number("-9223372036854775808", "-1", "0", "34", "9223372036854775807"), null()), nil},
	}, partition: []string{"truncate(2, name)", "truncate(100, amount)", "truncate(10, n)", "bucket(4, key)",
		"bucket(3, l)"}}
}

// hashed are partitions by bucket over the types that the others leave out.
func hashed() *dataset {
	return &dataset{name: "hashed", rows: 40, columns: []column{
		{"s", "string", plus(texts("", "a", "iceberg", "日本", "😀"), null()), nil},
		{"d", "decimal(20, 3)", plus(number("-14.200", "0.000", "14.200", "99999999999999999.999"), null()), nil},
		{"dt", "date", plus(moments("1969-12-31", "1970-01-01", "2017-11-16"), null()), nil},
		{"ts", "timestamp", plus(moments("1969-12-31T23:59:59.999999", "2017-11-16T22:31:08.000000"), null()), nil},
	}, partition: []string{"bucket(5, s)", "bucket(3, d)", "bucket(3, dt)", "bucket(2, ts)"}}
}

// dated are partitions by parts of dates and timestamps, before 1970 too.
func dated() *dataset {
	return &dataset{name: "dated", rows: 40, columns: []column{
		{"y", "date", plus(moments("0001-01-02", "1968-12-31", "1969-01-01", "1969-12-31", "1970-01-01",
			"2024-12-31"), null()), nil},
		{"m", "timestamp", plus(moments("1969-11-30T23:59:59.999999", "1969-12-01T00:00:00.000000",
			"1969-12-31T23:59:59.999999", "1970-01-31T00:00:00.000000", "1970-02-01T00:00:00.000000"), null()), nil},
		{"d", "timestamptz", plus(utc("1969-12-30T23:59:59.999999", "1969-12-31T00:00:00.000000",
			"1969-12-31T23:59:59.999999", "1970-01-01T00:00:00.000000", "2024-02-29T23:59:59.999999"), null()), nil},
		{"h", "timestamptz", plus(utc("1969-12-31T22:59:59.999999", "1969-12-31T23:00:00.000000",
			"1970-01-01T00:59:59.999999", "1970-01-01T01:00:00.000000"), null()), nil},
	}, partition: []string{"year(y)", "month(m)", "day(d)", "hour(h)"}}
}

// named are identity partitions of the types that paths write in a form of their own.
func named() *dataset {
	return &dataset{name: "named", rows: 40, columns: []column{
		{"b", "boolean", plus(number("false", "true"), null()), nil},
		{"dt", "date", plus(moments("1969-12-31", "2024-02-29"), null()), nil},
		{"d", "decimal(12, 3)", plus(number("-1.500", "0.000", "123456789.125"), null()), nil},
		{"ts", "timestamp", plus(moments("1969-12-31T23:59:59.999999", "2024-02-29T12:00:00.000001"), null()), nil},
		{"l", "long", plus(number("-9223372036854775808", "9223372036854775807"), null()), nil},
	}, partition: []string{"b", "dt", "d", "ts", "l"}}
}

// ranges have files whose columns' bounds differ, and touch, with bloom filters that agree.
func ranges() *dataset {
	long := strings.Repeat("x", 15)
	return &dataset{name: "ranges", rows: 30, split: true, filters: true, columns: []column{
		{"i", "int", plus(number("-2147483648", "-7", "0", "1", "2147483647"), null()), nil},
		{"l", "long",
			plus(number("-9223372036854775808", "-4294967296", "-1", "0", "9223372036854775807"), null()), nil},
		{"d9", "decimal(9, 2)", plus(number("-9999999.99", "-1.28", "-0.01", "1.27", "9999999.99"), null()), nil},
		{"d18", "decimal(18, 4)", number("-99999999999999.9999", "-0.0001", "0.0000", "0.0255", "0.0256",
			"99999999999999.9999"), nil},
		{"d38", "decimal(38, 10)", number("-9999999999999999999999999999.9999999999",
			"-922337203.6854775809", "0.0000000000", "922337203.6854775808", "18446744073.7095516160",
			"9999999999999999999999999999.9999999999"), nil},
		{"s", "string", plus(texts("", "a", long+"x", long+"xa", long+"xb", long+"é1", long+"\U0010ffff1",
			"\ufffd", "𝄞", strings.Repeat("\U0010ffff", 17)), null()), nil},
		{"ts", "timestamp", moments("1582-10-10T01:02:03.000004", "1969-12-31T23:59:59.999999",
			"1970-01-01T00:00:00.000000", "1970-01-01T00:00:00.000001", "2024-02-29T12:00:00.123456"), nil},
		{"tz", "timestamptz", utc("1582-10-10T01:02:03.000004", "1969-12-31T23:59:59.999999",
			"1970-01-01T00:00:00.000000", "2024-02-29T12:00:00.123456"), nil},
		{"dt", "date", moments("0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31"), nil},
		{"x", "double", floating("-1.7976931348623157e308", "-0.5", "0.1", "1.5", "1.7976931348623157e308"), nil},
	}}
}
