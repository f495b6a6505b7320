"""Rows as TBCV 2.0 wrote them: upper-case enumerations, naive timestamps, JSON in text."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

MOMENT = "2025-03-01 10:20:30.123456"


def workflow(key: str, **changes: object) -> Row:
    """Return a clean row of workflows."""
    return {
        "id": key,
        "type": "validate_file",
        "state": "COMPLETED",
        "input_params": '{"path": "docs/a.md"}',
        "metadata": "{}",
        "total_steps": 5,
        "current_step": 5,
        "progress_percent": 100,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "completed_at": MOMENT,
    } | changes


def checkpoint(key: str, workflow_id: str, **changes: object) -> Row:
    """Return a clean row of checkpoints."""
    return {
        "id": key,
        "workflow_id": workflow_id,
        "name": "parsed",
        "step_number": 1,
        "state_data": b"\x00\xff",
        "created_at": MOMENT,
        "can_resume_from": 1,
    } | changes


def validation(key: str, **changes: object) -> Row:
    """Return a clean row of validation_results."""
    return {
        "id": key,
        "file_path": f"docs/{key}.md",
        "rules_applied": '["yaml"]',
        "validation_results": '{"issues": []}',
        "severity": "low",
        "status": "PASS",
        "version_number": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    } | changes


def recommendation(key: str, validation_id: str, **changes: object) -> Row:
    """Return a clean row of recommendations."""
    return {
        "id": key,
        "validation_id": validation_id,
        "type": "fix_format",
        "title": "a title",
        "confidence": 0.5,
        "status": "PROPOSED",
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "metadata": '{"k": 1}',
    } | changes


def audit(key: str, **changes: object) -> Row:
    """Return a clean row of audit_logs."""
    return {"id": key, "action": "created", "actor": "alice", "created_at": MOMENT, "metadata": "{}"} | changes


def cache_entry(key: str, **changes: object) -> Row:
    """Return a clean row of cache_entries."""
    return {
        "cache_key": key,
        "agent_id": "agent",
        "method_name": "method",
        "input_hash": "0f",
        "result_data": b"\x00",
        "created_at": MOMENT,
        "expires_at": MOMENT,
        "access_count": 1,
        "last_accessed": MOMENT,
        "size_bytes": 1,
    } | changes


def metric(key: str, **changes: object) -> Row:
    """Return a clean row of metrics."""
    return {"id": key, "name": "cache_hit", "value": 0.25, "created_at": MOMENT, "metadata": "{}"} | changes
