# SPDX-License-Identifier: Apache-2.0
"""A slow, independent model of the balancer, and what compares the dataplanes with it."""
