// SPDX-License-Identifier: GPL-2.0
/* Files in sysfs. */

void ext4rs_helper_sysfs_attr_init(struct attribute *attr)
{
	sysfs_attr_init(attr);
}

int ext4rs_helper_sysfs_create_file(struct kobject *kobj, const struct attribute *attr)
{
	return sysfs_create_file(kobj, attr);
}

void ext4rs_helper_sysfs_remove_file(struct kobject *kobj, const struct attribute *attr)
{
	sysfs_remove_file(kobj, attr);
}
