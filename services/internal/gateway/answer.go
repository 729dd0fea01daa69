package gateway

import (
	"context"
	"encoding/json/jsontext"
	"errors"
	"net/http"

	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/iamclient"
)

// pass answers the client with what became of its request to iam.
func (s *routes) pass(w http.ResponseWriter, r *http.Request, response iamclient.Response, err error) {
	if err == nil {
		err = judge(response)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if response.Location != "" {
		w.Header().Set("Location", response.Location)
	}
	if response.Status == http.StatusNoContent {
		w.WriteHeader(response.Status)
		return
	}
	httpjson.WriteRaw(w, response.Status, response.Body)
}

// judge refuses answers that are of no use to a client.
func judge(response iamclient.Response) error {
	switch {
	case response.Status == http.StatusServiceUnavailable:
		return iamclient.ErrUnavailable
	case response.Status >= 500, response.Status < 200, 300 <= response.Status && response.Status < 400:
		return errors.New("iam answers with an unexpected status")
	case response.Status != http.StatusNoContent && !jsontext.Value(response.Body).IsValid():
		return errors.New("iam answers with a body that is not JSON")
	}
	return nil
}

func (s *routes) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		s.log.Debug("client went away", "error", err)
	} else {
		s.log.Error("request to iam failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	answer := &httpjson.Error{Status: http.StatusBadGateway, Code: httpjson.CodeBadGateway, Message: "iam gave an unexpected answer"}
	if errors.Is(err, iamclient.ErrUnavailable) {
		answer = &httpjson.Error{Status: http.StatusServiceUnavailable, Code: httpjson.CodeUnavailable, Message: "iam is not available"}
	}
	httpjson.WriteError(w, answer)
}
