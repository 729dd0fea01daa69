package gateway

import (
	"embed"
	"net/http"
)

//go:embed web
var web embed.FS

// addWeb serves the description of the API for people and for machines.
func addWeb(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, web, "web/welcome.html")
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, web, "web/openapi.json")
	})
}
