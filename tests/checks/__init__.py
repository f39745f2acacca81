# SPDX-License-Identifier: Apache-2.0
"""The runner behind ./check: stages, what they ran, and the count."""
