# SPDX-License-Identifier: Apache-2.0
"""The lab: a world of network namespaces for penstock, its real servers and its real clients."""
