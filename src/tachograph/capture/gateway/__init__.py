"""The gateway: Envoy between clients and models, its configuration rendered, its log followed."""
