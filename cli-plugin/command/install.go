// SPDX-License-Identifier: Apache-2.0

package command

// The settings of this program in docker's configuration, below
// plugins.manifestformat.
const keyDefaultProfile = "default-profile"
