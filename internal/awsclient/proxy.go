package awsclient

import "net/http"

// noteProxy tells the Watch of r which proxy a failed request went through: its host,
// never its user and password. The SDK's error often does not name it.
func noteProxy(r *http.Request, t *http.Transport) {
	w, _ := r.Context().Value(watchKey{}).(*Watch)
	if w == nil || t.Proxy == nil {
		return
	}
	u, err := t.Proxy(r)
	if err != nil || u == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proxy = u.Host
}

// Proxy returns the host of the proxy that the last failed attempt went through, or "".
func (w *Watch) Proxy() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proxy
}
