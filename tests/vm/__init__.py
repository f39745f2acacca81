# SPDX-License-Identifier: Apache-2.0
"""Debian 12's stock kernel under emulation, with what this repository builds in it."""
