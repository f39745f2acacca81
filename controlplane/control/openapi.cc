// SPDX-License-Identifier: Apache-2.0
// Kept beside routes.cc: a test holds the two together.
#include "controlplane/control/openapi.h"

namespace penstock {
namespace {

constexpr std::string_view kDocument = R"json({
  "openapi": "3.1.0",
  "info": {
    "title": "penstock control",
    "version": "1",
    "description": "HTTP/1.1 over a unix socket. Errors are RFC 9457 problem documents."
  },
  "paths": {
    "/v1/status": {
      "get": {
        "summary": "Interfaces, services, backends, health, flows, counters, the TLS sidecar",
        "responses": {"200": {"description": "the status"}}
      }
    },
    "/v1/openapi.json": {
      "get": {"summary": "This document", "responses": {"200": {"description": "OpenAPI 3.1"}}}
    },
    "/v1/explain": {
      "get": {
        "summary": "Which backend a client meets, and why",
        "parameters": [
          {"name": "client", "in": "query", "required": true, "schema": {"type": "string"}},
          {"name": "service", "in": "query", "required": true, "schema": {"type": "string"}}
        ],
        "responses": {
          "200": {"description": "its hash and slot, its backend (by TLS too), why"},
          "400": {"description": "not an address"},
          "404": {"description": "no such service"}
        }
      }
    },
    "/v1/apply": {
      "post": {
        "summary": "Reads the file again, or another one; a refused file changes nothing",
        "requestBody": {
          "content": {
            "application/json": {
              "schema": {
                "type": "object",
                "properties": {
                  "file": {
                    "type": "string",
                    "description": "absolute path; default: the one in use"
                  },
                  "discard_changes": {
                    "type": "boolean",
                    "description": "drop the changes made at this socket"
                  }
                }
              }
            }
          }
        },
        "responses": {
          "200": {"description": "applied"},
          "400": {"description": "faults in the file; several are listed in \"diagnostics\""},
          "409": {"description": "a key that cannot change while running"},
          "403": {"description": "the peer may not change anything"}
        }
      }
    },
    "/v1/services/{service}/backends": {
      "post": {
        "summary": "Adds a backend",
        "parameters": [
          {"name": "service", "in": "path", "required": true, "schema": {"type": "string"}}
        ],
        "requestBody": {
          "content": {
            "application/json": {
              "schema": {
                "type": "object",
                "required": ["address"],
                "properties": {
                  "address": {
                    "type": "string",
                    "examples": ["10.0.0.3:3000", "[2001:db8::3]:3000"]
                  },
                  "name": {"type": "string"},
                  "weight": {"type": "integer", "minimum": 0, "maximum": 1000}
                }
              }
            }
          }
        },
        "responses": {
          "200": {"description": "added"},
          "409": {"description": "name or address is taken"},
          "403": {"description": "the peer may not change anything"}
        }
      }
    },
    "/v1/services/{service}/backends/{backend}": {
      "parameters": [
        {"name": "service", "in": "path", "required": true, "schema": {"type": "string"}},
        {"name": "backend", "in": "path", "required": true, "schema": {"type": "string"}}
      ],
      "patch": {
        "summary": "Drains, undrains, weighs",
        "requestBody": {
          "content": {
            "application/json": {
              "schema": {
                "type": "object",
                "properties": {
                  "drain": {"type": "boolean"},
                  "weight": {"type": "integer", "minimum": 0, "maximum": 1000}
                }
              }
            }
          }
        },
        "responses": {
          "200": {"description": "changed"},
          "404": {"description": "no such backend"},
          "403": {"description": "the peer may not change anything"}
        }
      },
      "delete": {
        "summary": "Removes the backend; its open connections run out",
        "responses": {
          "200": {"description": "removed"},
          "404": {"description": "no such backend"},
          "403": {"description": "the peer may not change anything"}
        }
      }
    },
    "/v1/stop": {
      "post": {
        "summary": "Ends forwarding for good, detaches and removes everything",
        "responses": {
          "200": {"description": "stopped"},
          "403": {"description": "the peer may not change anything"}
        }
      }
    }
  }
})json";

}  // namespace

std::string_view openapi_document() {
  return kDocument;
}

}  // namespace penstock
