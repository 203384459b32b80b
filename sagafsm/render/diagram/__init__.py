"""The state machine of a saga as SVG and Mermaid."""
