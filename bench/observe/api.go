package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// series is a line: its labels and its values over time.
type series struct {
	labels map[string]string
	points []point
}

type point struct {
	at    time.Time
	value float64
}

// ask calls Prometheus's HTTP API.
func (s *server) ask(ctx context.Context, path string, form url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if form == nil {
		req.Method, req.Body = http.MethodGet, nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil {
		return err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("prometheus answers %s: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s", answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// query evaluates an expression at each second of a while. What is not a number is left out.
func (s *server) query(ctx context.Context, expr string, from, to time.Time) ([]series, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]any
		}
	}
	err := s.ask(ctx, "query_range", url.Values{
		"query": {expr}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {"1"},
	}, &data)
	if err != nil {
		return nil, err
	}
	var out []series
	for _, r := range data.Result {
		one := series{labels: r.Metric}
		for _, v := range r.Values {
			seconds, ok := v[0].(float64)
			text, ok2 := v[1].(string)
			if !ok || !ok2 {
				return nil, fmt.Errorf("prometheus answers a value of the form %v", v)
			}
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, err
			}
			if !math.IsNaN(n) && !math.IsInf(n, 0) {
				one.points = append(one.points, point{time.UnixMilli(int64(seconds * 1000)), n})
			}
		}
		if len(one.points) > 0 {
			out = append(out, one)
		}
	}
	return out, nil
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// firing are the alerts that fire now, by name.
func (s *server) firing(ctx context.Context) (map[string]bool, error) {
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := s.ask(ctx, "alerts", nil, &data); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			out[a.Labels["alertname"]] = true
		}
	}
	return out, nil
}

// scraped tells how many targets Prometheus reaches now.
func (s *server) scraped(ctx context.Context) (up int, err error) {
	var data struct {
		ActiveTargets []struct{ Health string }
	}
	if err := s.ask(ctx, "targets", nil, &data); err != nil {
		return 0, err
	}
	for _, t := range data.ActiveTargets {
		if t.Health == "up" {
			up++
		}
	}
	return up, nil
}
