package gen

import "strconv"

func eventTypes() []string {
	return []string{"view", "click", "search", "purchase", "add_to_cart", "login", "logout", "refund"}
}

func countries() []string {
	return []string{
		"AR", "AT", "AU", "BE", "BR", "CA", "CH", "CL", "CN", "CZ", "DE", "DK", "ES", "FI", "FR",
		"GB", "GR", "IE", "IN", "IT", "JP", "KR", "MX", "NL", "NO", "NZ", "PL", "PT", "SE", "US",
	}
}

func cities() []string {
	return []string{
		"Bern", "Cádiz", "Delft", "Gdańsk", "Kyoto", "Lyon", "Malmö", "Oslo", "Porto", "Tromsø", "Turin",
		"Wien", "Zürich", "東京", "Αθήνα",
	}
}

func names() []string {
	return []string{"Ada", "Boris", "Chloé", "Dagny", "Emil", "Fatma", "Grace", "Hiro", "Inés", "Jürgen"}
}

func levels() []string { return []string{"debug", "info", "info", "info", "warn", "error"} }

func services() []string {
	return []string{"cart", "catalog", "checkout", "gateway", "identity", "mail", "search", "stock"}
}

const hexDigits = "0123456789abcdef"

// appendHex appends the lowest n hex digits of bits.
func appendHex(dst []byte, bits uint64, n int) []byte {
	for shift := 4 * (n - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[bits>>shift&15])
	}
	return dst
}

// writeUUID writes a version 4 UUID.
func writeUUID(r *row, dst []byte) []byte {
	high, low := r.random.next(), r.random.next()
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	dst = appendHex(dst, high>>32, 8)
	dst = append(dst, '-')
	dst = appendHex(dst, high>>16, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, high, 4)
	dst = append(dst, '-')
	dst = appendHex(dst, low>>48, 4)
	dst = append(dst, '-')
	return appendHex(dst, low, 12)
}

func writeHex32(r *row, dst []byte) []byte {
	dst = appendHex(dst, r.random.next(), 16)
	return appendHex(dst, r.random.next(), 16)
}

// writeURL writes one of ten million addresses.
func writeURL(r *row, dst []byte) []byte {
	dst = append(dst, "/shop/p/"...)
	return strconv.AppendUint(dst, r.random.below(10_000_000), 10)
}

func writeZip(r *row, dst []byte) []byte {
	return strconv.AppendUint(dst, 10_000+r.random.below(90_000), 10)
}

func writeMessage(r *row, dst []byte) []byte {
	dst = append(dst, "request "...)
	dst = appendHex(dst, r.random.next(), 8)
	dst = append(dst, " for user "...)
	dst = strconv.AppendUint(dst, r.random.below(users), 10)
	dst = append(dst, " took "...)
	dst = strconv.AppendUint(dst, r.random.below(5_000), 10)
	dst = append(dst, " ms, status "...)
	dst = strconv.AppendUint(dst, 200+100*r.random.below(4), 10)
	return append(dst, ", path \"/api/v1/orders\"\tretried\n"...)
}

// random is splitmix64: a few instructions a number, and row n needs no rows before it.
type random struct{ state uint64 }

func newRandom(seed, row uint64) random {
	r := random{state: seed*0x9e3779b97f4a7c15 ^ row*0xd1342543de82ef95}
	r.next()
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (r *random) below(n uint64) uint64 { return r.next() % n }
