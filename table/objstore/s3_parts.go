package objstore

import "sync"

// partPool keeps the buffers of parts for the next ones, since a new one has to be cleared and mapped
// page by page. What is not used for two cycles of the collector is freed, so it holds no more than
// were in use at once.
type partPool struct{ buffers sync.Pool } // of *[partBytes]byte

// get returns a buffer of partBytes that holds anything.
func (p *partPool) get() []byte {
	if buffer, ok := p.buffers.Get().(*[partBytes]byte); ok {
		return buffer[:]
	}
	return make([]byte, partBytes)
}

// put takes back the buffer of content that was taken by the store. After more than one request it is
// left to the collector: the transport may still read from it for one that was given up.
func (p *partPool) put(content *s3Content) {
	part := content.chunks[0]
	if content.sent == 1 && cap(part) == partBytes {
		p.buffers.Put((*[partBytes]byte)(part[:partBytes]))
	}
}
