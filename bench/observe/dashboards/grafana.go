package dashboards

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
)

// The parts of Grafana's dashboard model that are used. Fields stand as Grafana 10 and 11 export them.

type object map[string]any

const screen = 24 // columns

// JSON is the dashboard as Grafana reads it.
func (d Dashboard) JSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(object{
		"uid": d.UID, "title": "Runnel: " + d.Title, "description": d.Description, "tags": []string{"runnel"},
		"schemaVersion": 38, "version": 1, "editable": true, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
		"time": object{"from": "now-1h", "to": "now"}, "annotations": object{"list": []any{}},
		"links": []any{object{
			"type": "dashboards", "title": "Runnel", "tags": []string{"runnel"}, "asDropdown": true, "includeVars": true, "keepTime": true,
		}},
		"templating": object{"list": d.variables()}, "panels": d.panels(),
	})
	return out.Bytes(), err
}

func (d Dashboard) variables() []any {
	list := []any{
		object{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": object{}},
		variable("broker", "Broker", `label_values(up{job="runnel"}, instance)`),
	}
	if d.Topics {
		list = append(list, variable("topic", "Topic", "label_values(runnel_topic_replicas, topic)"))
	}
	return list
}

// variable is a list to choose from: all, some or one.
func variable(name, label, query string) object {
	return object{
		"name": name, "label": label, "type": "query", "datasource": source(), "query": object{"query": query, "refId": name}, "definition": query,
		"includeAll": true, "multi": true, "allValue": ".*", "refresh": 2, "sort": 1, "current": object{"text": "All", "value": "$__all"},
	}
}

func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (d Dashboard) panels() []any {
	var out []any
	y := 0
	for _, r := range d.Rows {
		out = append(out, object{
			"id": len(out) + 1, "type": "row", "title": r.Title, "collapsed": false, "panels": []any{}, "gridPos": object{"x": 0, "y": y, "w": screen, "h": 1},
		})
		y++
		x, line := 0, 0
		for _, p := range r.Panels {
			w, h := p.size()
			if x+w > screen {
				x, y, line = 0, y+line, 0
			}
			g := p.grafana(len(out) + 1)
			g["gridPos"] = object{"x": x, "y": y, "w": w, "h": h}
			out = append(out, g)
			x, line = x+w, max(line, h)
		}
		y += line
	}
	return out
}

func (p Panel) size() (w, h int) {
	w, h = 8, 8
	if p.Kind == Stat {
		w, h = 3, 4
	}
	if p.Wide > 0 {
		w = p.Wide
	}
	return w, h
}

func (p Panel) grafana(id int) object {
	defaults := object{"unit": string(p.Unit), "color": object{"mode": "palette-classic"}}
	g := object{"id": id, "title": p.Title, "description": p.Description, "datasource": source()}
	switch p.Kind {
	case Lines, Stacked:
		stacking := "none"
		if p.Kind == Stacked {
			stacking = "normal"
		}
		defaults["min"] = 0
		defaults["custom"] = object{
			"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false, "stacking": object{"mode": stacking, "group": "A"},
		}
		g["type"] = "timeseries"
		g["options"] = object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []any{}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	case Stat:
		steps := []any{object{"color": "green", "value": nil}}
		if p.Bad > 0 {
			steps = append(steps, object{"color": "red", "value": p.Bad})
		}
		defaults["color"] = object{"mode": "thresholds"}
		defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
		g["type"] = "stat"
		g["options"] = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "area", "textMode": "value", "justifyMode": "auto",
		}
	case Table:
		g["type"] = "table"
		g["options"] = object{"showHeader": true}
		g["transformations"] = []any{
			object{"id": "merge", "options": object{}},
			object{"id": "organize", "options": object{"excludeByName": object{"Time": true, "job": true, "__name__": true}}},
		}
	}
	g["fieldConfig"] = object{"defaults": defaults, "overrides": []any{}}
	var targets []any
	for i, q := range p.Queries {
		t := object{"refId": string(rune('A' + i)), "datasource": source(), "expr": q.Expr, "legendFormat": q.Legend, "range": p.Kind != Table, "instant": p.Kind == Table}
		if p.Kind == Table {
			t["format"] = "table"
		}
		targets = append(targets, t)
	}
	g["targets"] = targets
	return g
}

// Write writes all of them into a folder.
func Write(dir string) error {
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.File()), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
